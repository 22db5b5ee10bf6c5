//! What can be said of the scripts without running them.

use super::*;

fn settings(url: &str) -> Config {
    let mut config = Config { domain: "shop.example".into(), data_dir: "/data/it's".into(), ..Config::default() };
    config.database.url = String::from(url).into();
    config.textsecure.enabled = true;
    config
}

fn scripts(site: Site<'_>) -> [String; 2] {
    [backup(site).unwrap(), restore(site).unwrap()]
}

#[test]
fn the_scripts_hold_no_secret_and_quote_what_needs_it() {
    let config = settings("postgres://u:hidden@db.example/node");
    let site = Site { config: &config, settings_file: Some(Path::new("/etc/a b.toml")), program: Path::new("/bin/h") };
    for script in scripts(site) {
        assert!(!script.contains("hidden"), "{script}");
        assert!(script.contains(r"'/data/it'\''s/node.keys'"), "{script}");
        assert!(script.contains("exec '/bin/h' \"$@\" --config '/etc/a b.toml')"), "{script}");
        assert!(script.contains(r"node='u@db.example:5432/node with /data/it'\''s/node.keys'"), "{script}");
        assert!(script.contains("attachments"), "{script}");
    }
}

#[test]
fn a_shell_understands_them() {
    let packaged = (Path::new("/usr/bin/handfast"), Some(Path::new("/etc/handfast/handfast.toml")));
    for url in ["postgres://u@db.example/node", ""] {
        for (program, settings_file) in [packaged, (Path::new("/bin/h"), None)] {
            let config = settings(url);
            for script in scripts(Site { config: &config, settings_file, program }) {
                let read = std::process::Command::new("sh").args(["-n", "-c", &script]).output().unwrap();
                assert!(read.status.success(), "{}\n{script}", String::from_utf8_lossy(&read.stderr));
            }
        }
    }
}

#[test]
fn a_packaged_node_is_worked_on_as_its_services_are() {
    let config = settings("postgres://u@db.example/node");
    let site =
        |program, file| Site { config: &config, settings_file: Some(Path::new(file)), program: Path::new(program) };
    for script in scripts(site("/usr/bin/handfast", "/etc/handfast/handfast.toml")) {
        assert!(script.contains("/usr/sbin/handfast-run \"$@\""), "{script}");
        assert!(script.contains("sudo handfast-run backup"), "{script}");
        assert!(!script.contains("/usr/bin/handfast"), "{script}");
    }
    for (program, file) in [("/usr/bin/handfast", "/srv/h.toml"), ("/srv/handfast", "/etc/handfast/handfast.toml")] {
        for script in scripts(site(program, file)) {
            assert!(!script.contains("handfast-run"), "{script}");
        }
    }
}

#[test]
fn files_of_one_name_are_kept_apart() {
    let dir = tempfile::tempdir().unwrap();
    let file = |folder: &str| {
        std::fs::create_dir(dir.path().join(folder)).unwrap();
        let path = dir.path().join(folder).join("privkey.pem");
        std::fs::write(&path, "").unwrap();
        path
    };
    let (one, two) = (file("a"), file("b"));
    let mut config = settings("postgres://u@db.example/node");
    (config.public.tls_cert, config.public.tls_key) = (Some(one.clone()), Some(two.clone()));
    let script = backup(Site { config: &config, settings_file: None, program: Path::new("/bin/h") }).unwrap();
    for path in [one, two] {
        let path = quoted_path(&path);
        assert!(script.contains(&format!("as_node cat {path} >\"$to/settings/files\"{path}\n")), "{script}");
    }
}
