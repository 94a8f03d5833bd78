CREATE TYPE mood AS ENUM ('sad', 'happy');
CREATE TABLE note (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, title text NOT NULL, mood mood);
CREATE TABLE tag (name text PRIMARY KEY, CONSTRAINT short CHECK (length(name) < 20));
INSERT INTO tag VALUES ('first'), ('second');
CREATE FUNCTION add_note(title text) RETURNS void LANGUAGE sql AS $$ INSERT INTO note (title) VALUES (title) $$;
CREATE FUNCTION act_as(name text) RETURNS void LANGUAGE plpgsql AS
    $$ BEGIN PERFORM set_config('app.actor', name, false); END $$;
CREATE FUNCTION take_memory() RETURNS void LANGUAGE plpgsql AS
    $$ BEGIN PERFORM set_config('work_mem', '5MB', false); END $$;
CREATE FUNCTION lock_something() RETURNS void LANGUAGE plpgsql AS
    $$ BEGIN PERFORM pg_advisory_lock(42); END $$;
CREATE FUNCTION make_temporary() RETURNS void LANGUAGE plpgsql AS
    $$ BEGIN EXECUTE 'CREATE TEMPORARY TABLE scratch (id integer)'; END $$;
