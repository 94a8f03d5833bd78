//! The traces of a running server: `postmaster.pid`, and its log.
use std::{
    fs,
    io::{Read, Seek, SeekFrom},
    net::{Ipv4Addr, TcpListener},
    os::unix::process::ExitStatusExt as _,
    path::{Path, PathBuf},
    process::ExitStatus,
};

use rustix::process::{Pid, Signal};

use crate::{Error, ErrorKind, Result};

/// The part of a log that goes into an error, in bytes.
const LOG_TAIL_BYTES: u64 = 1500;

/// The lines of `postmaster.pid` we need: 1 is the process, 2 the data, 8 the state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Postmaster {
    pub(crate) pid: u32,
    pub(crate) data: PathBuf,
    pub(crate) ready: bool,
}

impl Postmaster {
    /// Reads the file in a data directory; `None` while there is none, or only half of it.
    pub(crate) fn read(data: &Path) -> Option<Self> {
        Self::parse(&fs::read_to_string(data.join("postmaster.pid")).ok()?)
    }

    fn parse(text: &str) -> Option<Self> {
        let mut lines = text.lines();
        let pid = lines.next()?.trim().parse().ok()?;
        let data = PathBuf::from(lines.next()?);
        let ready = lines.nth(5).is_some_and(|state| state.trim() == "ready");
        Some(Self { pid, data, ready })
    }

    /// Sends a signal; the server may be gone already, which is what a signal is for.
    pub(crate) fn signal(&self, signal: Signal) {
        if let Some(pid) = i32::try_from(self.pid).ok().and_then(Pid::from_raw) {
            let _ = rustix::process::kill_process(pid, signal);
        }
    }

    /// Returns true if the process still is a server on this data, as far as the system lets us see.
    ///
    /// Without `/proc` every living process counts as one: better an error than two servers on one data.
    pub(crate) fn is_postgres(&self) -> bool {
        if !is_alive(self.pid) {
            return false;
        }
        match fs::read_link(format!("/proc/{}/cwd", self.pid)) {
            Ok(folder) => folder == self.data,
            Err(_) => true,
        }
    }
}

/// Returns true if a process with this number exists, ours or not.
pub(crate) fn is_alive(pid: u32) -> bool {
    let Some(pid) = i32::try_from(pid).ok().and_then(Pid::from_raw) else { return false };
    !matches!(rustix::process::test_kill_process(pid), Err(rustix::io::Errno::SRCH))
}

/// A port nobody listens on right now. Somebody may take it before the server does: try again then.
pub(crate) fn free_port() -> Result<u16> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).and_then(|listener| listener.local_addr());
    let address = listener.map_err(|error| {
        Error::new(ErrorKind::Server, "no free port on the loopback interface").because(error)
    })?;
    Ok(address.port())
}

pub(crate) fn is_free(port: u16) -> bool {
    TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok()
}

/// Returns true if the server gave up because its port was taken.
pub(crate) fn lost_its_port(log: &str) -> bool {
    log.contains("Address already in use") || log.contains("could not bind")
}

/// The last lines of a log, for the error that tells why a program failed.
pub(crate) fn log_tail(log: &Path) -> String {
    log_since(log, 0)
}

/// The last lines of a log after what an earlier start wrote.
pub(crate) fn log_since(log: &Path, start: u64) -> String {
    read_tail(log, start).unwrap_or_default().trim().to_owned()
}

fn read_tail(log: &Path, earliest: u64) -> std::io::Result<String> {
    let mut file = fs::File::open(log)?;
    let start = file.metadata()?.len().saturating_sub(LOG_TAIL_BYTES).max(earliest);
    file.seek(SeekFrom::Start(start))?;
    let mut tail = Vec::new();
    file.read_to_end(&mut tail)?;
    let tail = String::from_utf8_lossy(&tail).into_owned();
    // What is left of a line that was cut in two says nothing.
    Ok(if start == earliest {
        tail
    } else {
        tail.split_once('\n').map(|(_, rest)| rest.to_owned()).unwrap_or(tail)
    })
}

/// The error of a program that ended, with the end of what it wrote, and how it ended if that says more.
pub(crate) fn ended(what: &str, output: &str, status: ExitStatus) -> Error {
    let output = match output.trim() {
        "" => status.to_string(),
        output if status.signal().is_some() => format!("{output} ({status})"),
        output => output.to_owned(),
    };
    let error = failed(what, &output);
    if status.signal() == Some(Signal::BUS.as_raw()) {
        return error.with_hint(
            "this machine may have huge pages that the container may not use: give it some, or turn them off \
             (`sysctl vm.nr_hugepages=0`)",
        );
    }
    error
}

/// The error of a program that failed, with the end of what it wrote.
pub(crate) fn failed(what: &str, output: &str) -> Error {
    let hint = hint_of(output);
    let output = if output.is_empty() { "it wrote nothing" } else { output };
    let error = Error::new(ErrorKind::Server, format!("{what}: {output}"));
    match hint {
        Some(hint) => error.with_hint(hint),
        None => error,
    }
}

fn hint_of(output: &str) -> Option<&'static str> {
    const HINTS: [(&str, &str); 4] = [
        ("No space left on device", "the disk is full: free some space and try again"),
        ("Check free disk space", "the disk is full: free some space and try again"),
        (
            "Permission denied",
            "the server's user must be able to enter the folders of the binaries and of the data",
        ),
        (
            "could not look up effective user ID",
            "PostgreSQL wants a name for its user: add a line for it to `/etc/passwd`, or preload `libnss_wrapper`",
        ),
    ];
    HINTS.iter().find(|(words, _)| output.contains(words)).map(|(_, hint)| *hint)
}

#[cfg(test)]
mod tests {
    use super::*;

    const READY: &str = "4711\n/data\n1763900000\n54321\n/tmp/s\n127.0.0.1\n  1234  5678\nready   \n";

    #[test]
    fn a_server_is_ready_when_its_eighth_line_says_so() {
        let server = Postmaster::parse(READY);
        assert_eq!(server, Some(Postmaster { pid: 4711, data: PathBuf::from("/data"), ready: true }));
        let starting = Postmaster::parse(&READY.replace("ready   ", "starting"));
        assert!(starting.is_some_and(|server| !server.ready));
    }

    #[test]
    fn half_a_file_is_no_server_yet() {
        assert_eq!(Postmaster::parse(""), None);
        assert_eq!(Postmaster::parse("4711"), None);
        assert!(Postmaster::parse("4711\n/data\n").is_some_and(|server| !server.ready));
    }

    #[test]
    fn the_end_of_a_program_that_wrote_nothing_is_told() {
        let bus = ended("`initdb` failed", "", ExitStatus::from_raw(7));
        assert!(bus.to_string().contains("`initdb` failed: signal: 7 (SIGBUS)"), "{bus}");
        assert!(bus.hint().is_some_and(|hint| hint.contains("huge pages")));
        let status = ExitStatus::from_raw(1 << 8);
        assert_eq!(ended("it failed", " \n", status).to_string(), "it failed: exit status: 1");
        let nameless =
            ended("it failed", "could not look up effective user ID 7: user does not exist", status);
        assert!(nameless.hint().is_some_and(|hint| hint.contains("/etc/passwd")));
    }

    #[test]
    fn we_are_alive_and_process_zero_is_nobody() {
        assert!(is_alive(std::process::id()));
        assert!(!is_alive(0));
    }
}
