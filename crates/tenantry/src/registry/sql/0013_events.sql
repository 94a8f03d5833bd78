-- The default database: announces what was done to a tenant, whoever did it.
--
-- On a channel of its own: programs of the version before empty their caches at what they do not know on the other one.
CREATE FUNCTION tenantry.announce_audit() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog AS $$
BEGIN
    PERFORM pg_notify('tenantry_event', NEW.id::text);
    RETURN NULL;
END
$$;

CREATE TRIGGER announce_entered AFTER INSERT ON tenantry.audit
    FOR EACH ROW WHEN (NEW.state = 'done') EXECUTE FUNCTION tenantry.announce_audit();
CREATE TRIGGER announce_ended AFTER UPDATE ON tenantry.audit
    FOR EACH ROW WHEN (NEW.state = 'done' AND OLD.state <> 'done') EXECUTE FUNCTION tenantry.announce_audit();
