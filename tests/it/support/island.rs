//! A network namespace whose cable to the rest of the machine can be pulled: packets under way are lost, and this
//! machine is not notified.

use super::Segno;
use std::{
    fs::File,
    io::{Write, copy, stderr},
    net::{Shutdown, TcpListener, TcpStream},
    process::Command,
    sync::atomic::{AtomicU32, Ordering},
    thread,
};

/// Networks reserved for benchmarks, without real machines. Each island has four of its addresses.
pub const NETWORK: &str = "198.18.0.0/16";

pub struct Island {
    name: String,
    /// The ends of the cable: this machine's, and the island's.
    near: String,
    far: String,
    /// This machine's address, seen from the island.
    pub mainland: String,
}

impl Island {
    /// `None`, with a notice, if namespaces cannot be created: that takes root and `ip`.
    pub fn rise() -> Option<Island> {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let (process, number) = (std::process::id(), NUMBER.fetch_add(1, Ordering::Relaxed));
        let name = format!("sg{process}-{number}");
        let place = process.wrapping_mul(4).wrapping_add(number) % (64 * 256);
        let address = |last: u32| format!("198.18.{}.{}", place / 64, place % 64 * 4 + last);
        let (near, far) = (format!("{name}a"), format!("{name}b"));
        let island = Island { near, far, mainland: address(1), name };
        let Island { name, near, far, .. } = &island;
        let [here, there] = [1, 2].map(|last| format!("{}/30", address(last)));
        let steps: [&[&str]; 7] = [
            &["netns", "add", name],
            &["link", "add", near, "type", "veth", "peer", "name", far, "netns", name],
            &["address", "add", &here, "dev", near],
            &["link", "set", near, "up"],
            &["-n", name, "address", "add", &there, "dev", far],
            &["-n", name, "link", "set", far, "up"],
            &["-n", name, "link", "set", "lo", "up"],
        ];
        for step in steps {
            if let Err(why) = ip(step) {
                // Past the harness, which shows the output of failed tests only.
                let _ = writeln!(stderr(), "SKIPPED: no network namespace can be made, nobody is cut off: {why}");
                return None;
            }
        }
        Some(island)
    }

    /// At the island's end: a program that listens at this one may start meanwhile.
    pub fn cut(&self) {
        ip(&["-n", &self.name, "link", "set", &self.far, "down"]).expect("it was up");
    }

    pub fn heal(&self) {
        ip(&["-n", &self.name, "link", "set", &self.far, "up"]).expect("it was down");
    }

    /// The same command, on the island. Its process id is that of the command.
    pub fn enter(&self, segno: Segno) -> Segno {
        segno.through(&format!("exec ip netns exec {} \"$@\"", self.name))
    }

    /// A port of the island's loopback address that leads to one of this machine's, whether the cable is cut or not.
    pub fn tunnel(&self, port: u16) -> u16 {
        let namespace = File::open(format!("/run/netns/{}", self.name)).expect("a namespace");
        // A socket stays in the namespace where it was created, whoever uses it.
        let listen = thread::spawn(move || {
            move_into(&namespace);
            TcpListener::bind("127.0.0.1:0").expect("a port")
        });
        let listener = listen.join().expect("a listener");
        let inside = listener.local_addr().expect("an address").port();
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let Ok(server) = TcpStream::connect(("127.0.0.1", port)) else { continue };
                let (Ok(from), Ok(to)) = (client.try_clone(), server.try_clone()) else { continue };
                thread::spawn(move || carry(&from, &to));
                thread::spawn(move || carry(&server, &client));
            }
        });
        inside
    }
}

/// Only for this thread.
#[cfg(target_os = "linux")]
fn move_into(namespace: &File) {
    use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
    let namespace = std::os::fd::AsFd::as_fd(namespace);
    move_into_link_name_space(namespace, Some(LinkNameSpaceType::Network)).expect("root may");
}

#[cfg(not(target_os = "linux"))]
fn move_into(_: &File) {
    unreachable!("only Linux has namespaces");
}

fn carry(mut from: &TcpStream, mut to: &TcpStream) {
    let _ = copy(&mut from, &mut to);
    let _ = to.shutdown(Shutdown::Write);
}

impl Drop for Island {
    fn drop(&mut self) {
        let _ = ip(&["link", "delete", &self.near]);
        let _ = ip(&["netns", "delete", &self.name]);
    }
}

fn ip(args: &[&str]) -> Result<(), String> {
    let ended = Command::new("ip").args(args).output().map_err(|error| format!("ip: {error}"))?;
    if ended.status.success() {
        return Ok(());
    }
    Err(format!("ip {}: {}", args.join(" "), String::from_utf8_lossy(&ended.stderr).trim()))
}
