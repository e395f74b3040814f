//! The compose files and the image that `deploy/build` makes: every setting, command, user, volume, port and file in
//! them exists in the program and the image.

use super::support::{Backend, Database, Running, Sandbox, Segno, python, wait_until};
use serde_json::Value;
use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    net::TcpListener,
    path::{Path, PathBuf},
    process::Command,
};

const FILES: [&str; 3] = ["sqlite.yml", "postgres.yml", "monitoring.yml"];
const TOKEN: &str = "0123456789abcdef0123456789abcdef";

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// A compose file, as JSON; `None` if there is no YAML parser.
fn compose(file: &str) -> Option<Value> {
    let path = root().join("deploy/compose").join(file);
    let read = "import json, sys, yaml\nprint(json.dumps(yaml.safe_load(open(sys.argv[1]))))";
    let text = python(&["yaml"], read, &path)?;
    Some(serde_json::from_str(&text).expect("JSON"))
}

/// The environment of a service, with the variables required by compose filled in.
fn environment(service: &Value) -> BTreeMap<String, String> {
    let fields = service["environment"].as_object().expect("an environment");
    let filled = |text: &str| {
        let Some((before, rest)) = text.split_once("${") else { return text.to_owned() };
        let (variable, after) = rest.split_once('}').expect("a variable");
        let (name, why) = variable.split_once(":?").expect("one that has to be given, with what it is");
        assert!(!why.is_empty());
        let value = match name {
            "SEGNO_SPOTIFY_CLIENT_ID" => "0123456789abcdef0123456789abcdef",
            "SEGNO_WEB_TOKEN" => TOKEN,
            "POSTGRES_PASSWORD" => "secret",
            other => panic!("nobody is told of {other}"),
        };
        format!("{before}{value}{after}")
    };
    fields.iter().map(|(name, value)| (name.clone(), filled(value.as_str().expect("text")))).collect()
}

fn texts(value: &Value) -> Vec<&str> {
    value.as_array().into_iter().flatten().filter_map(Value::as_str).collect()
}

/// The image made by `deploy/build` from a small stand-in for the binary: its configuration, and the paths in it.
fn image(folder: &Path) -> (Value, BTreeSet<String>) {
    let built = Command::new(root().join("deploy/build"))
        .args([
            "--dirty",
            "--maintainer",
            "A <a@example.org>",
            "--binary",
            "/bin/true",
            "--speaker",
            env!("CARGO_BIN_EXE_segno"),
            "--out",
        ])
        .arg(folder)
        .output()
        .expect("deploy/build runs");
    assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
    let read = "
import gzip, io, json, pathlib, sys, tarfile
[path] = pathlib.Path(sys.argv[1]).glob('*.oci.tar')
with tarfile.open(path) as layout:
    blob = lambda entry: layout.extractfile('blobs/' + entry['digest'].replace(':', '/')).read()
    manifest = json.loads(blob(json.load(layout.extractfile('index.json'))['manifests'][0]))
    config = json.loads(blob(manifest['config']))
    [layer] = manifest['layers']
    with tarfile.open(fileobj=io.BytesIO(gzip.decompress(blob(layer)))) as tar:
        owners = {'/' + member.name: member.uid for member in tar.getmembers()}
print(json.dumps({'config': config, 'owners': owners}))";
    let image: Value =
        serde_json::from_str(&python(&[], read, folder).expect("deploy/build needs python3, too")).expect("JSON");
    let config = image["config"]["config"].clone();
    let owners = image["owners"].as_object().expect("paths");
    // The user who writes there owns it.
    for volume in config["Volumes"].as_object().expect("volumes").keys() {
        assert_eq!(config["User"], format!("{0}:{0}", owners[volume]), "{volume}");
    }
    (config, owners.keys().cloned().collect())
}

fn start(database: &Database, sandbox: &Sandbox, env: &BTreeMap<String, String>, args: &[&str]) -> Segno {
    let segno = Segno::on(database, sandbox, args).without_env("SEGNO_WEB_LISTEN");
    env.iter().fold(segno, |segno, (name, value)| segno.env(name, value))
}

#[test]
fn what_the_compose_files_name_is_there() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut files = BTreeMap::new();
    for file in FILES {
        let Some(read) = compose(file) else { return };
        files.insert(file, read);
    }
    let (config, paths) = image(folder.path());
    let settings = fs::read_to_string(root().join("docs/settings.md")).expect("the page");
    for (file, read) in &files {
        let declared: BTreeSet<&String> = read["volumes"].as_object().expect("volumes").keys().collect();
        for (name, service) in read["services"].as_object().expect("services") {
            for mount in texts(&service["volumes"]) {
                let (volume, _) = mount.split_once(':').expect("a volume and a place");
                assert!(declared.contains(&volume.to_owned()), "{file}, {name}: {volume}");
            }
            for config in service["configs"].as_array().into_iter().flatten() {
                let source = config["source"].as_str().expect("a name");
                assert!(read["configs"][source].is_object(), "{file}, {name}: {source}");
            }
        }
        for (name, given) in read["configs"].as_object().into_iter().flatten() {
            if let Some(path) = given["file"].as_str() {
                let path: PathBuf = root().join("deploy/compose").join(path);
                assert!(path.is_file(), "{file}, {name}: {}", path.display());
            }
        }
    }
    for file in ["sqlite.yml", "postgres.yml"] {
        let service = &files[file]["services"]["segno"];
        assert_eq!(service["image"], format!("segno:{}", env!("CARGO_PKG_VERSION")), "{file}");
        for name in service["environment"].as_object().expect("an environment").keys() {
            assert!(settings.contains(&format!("`{name}`")), "{file}: {name} is no setting");
        }
        for mount in texts(&service["volumes"]) {
            let (_, place) = mount.split_once(':').expect("a place");
            assert!(config["Volumes"].get(place).is_some() && paths.contains(place), "{file}: {place}");
        }
        // The published port is the one listened on.
        let [published] = texts(&service["ports"])[..] else { panic!("{file}: one port") };
        let listened = &environment(service)["SEGNO_WEB_LISTEN"];
        let port = listened.rsplit_once(':').expect("a port").1;
        assert_eq!(published, format!("127.0.0.1:8370:{port}"), "{file}");
        assert!(config["ExposedPorts"].get(format!("{port}/tcp")).is_some());
        assert_eq!(texts(&service["tmpfs"]), ["/tmp"]);
        assert!(paths.contains("/tmp") && service["read_only"] == true, "{file}");
    }
    let monitored = files["monitoring.yml"]["configs"]["prometheus"]["content"].as_str().expect("a configuration");
    assert!(monitored.contains("\"segno:8370\"") && monitored.contains("rule_files: [alerts.yml]"), "{monitored}");
    let url = environment(&files["postgres.yml"]["services"]["segno"]).remove("SEGNO_DATABASE_URL").expect("a URL");
    let postgres = &files["postgres.yml"]["services"]["postgres"];
    let of_postgres = environment(postgres);
    assert_eq!(
        url,
        format!(
            "postgres://{}:{}@postgres/{}?sslmode=disable",
            of_postgres["POSTGRES_USER"], of_postgres["POSTGRES_PASSWORD"], of_postgres["POSTGRES_DB"]
        )
    );
}

#[test]
fn the_image_runs_by_its_environment_and_its_health_check_tells() {
    let folder = tempfile::tempdir().expect("a folder");
    let Some(read) = compose("sqlite.yml") else { return };
    let (config, paths) = image(folder.path());
    let [program] = texts(&config["Entrypoint"])[..] else { panic!("one program") };
    assert_eq!(program, "/usr/bin/segno");
    let [how, checker, check] = texts(&config["Healthcheck"]["Test"])[..] else { panic!("a check") };
    assert_eq!((how, checker), ("CMD", program));
    assert!(paths.contains(program) && paths.contains(config["WorkingDir"].as_str().expect("a folder")));
    assert!(paths.contains("/etc/ssl/certs/ca-certificates.crt") && paths.contains("/etc/passwd"));

    // The image's environment, overlaid with the compose file's, and a free port.
    let (database, sandbox) = (Database::new(Backend::Sqlite), Sandbox::exact(20, 2, 2, 1, 2));
    let of_image = texts(&config["Env"]).into_iter().filter_map(|line| line.split_once('='));
    let mut env: BTreeMap<String, String> = of_image
        .filter(|(name, _)| name.starts_with("SEGNO_"))
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect();
    env.extend(environment(&read["services"]["segno"]));
    env.remove("SEGNO_SPOTIFY_CLIENT_ID");
    let free = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a port");
    env.insert("SEGNO_WEB_LISTEN".into(), format!("0.0.0.0:{}", free.port()));
    let ready = || start(&database, &sandbox, &env, &[check]).run();
    assert_eq!(ready().code, Some(1), "nothing runs yet");
    let running: Running = start(&database, &sandbox, &env, &texts(&config["Cmd"])).spawn();
    wait_until("the health check says that it works", || ready().code == Some(0));
    assert_eq!(config["StopSignal"], "SIGTERM");
    running.terminate();
    let ended = running.wait();
    assert_eq!(ended.code, Some(0), "{}", ended.told());
}
