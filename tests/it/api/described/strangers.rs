//! What nobody thought of: schemathesis makes requests out of the description, good ones and bad ones, and looks at the answers.

use std::process::Stdio;
use std::time::Duration;

use tokio::process::Command;

use super::python;
use super::stage::Stage;

/// Longest that a run may take.
const PATIENCE: Duration = Duration::from_secs(600);

/// What is looked at in every answer. What a request that fits its schema may still be refused for (there is no connection, the
/// account is disabled) schemathesis cannot know, so that alone is not asked of it.
const CHECKS: &str = "not_a_server_error,status_code_conformance,content_type_conformance,response_headers_conformance,\
response_schema_conformance,negative_data_rejection,unsupported_method,ignored_auth";

#[tokio::test]
async fn schemathesis_finds_nothing_that_is_not_described() {
    let program = python::programs().join("schemathesis");
    let stage = Stage::build().await;
    let folder = tempfile::tempdir().unwrap();
    let document = folder.path().join("openapi.json");
    // With the ids that things have here, the examples lead somewhere.
    std::fs::write(&document, stage.real(handfast::openapi())).unwrap();
    let own = own_key(&stage).await;
    let run = Command::new(program)
        .arg("run")
        .arg(&document)
        .args(["--url", &stage.node.url("/api/v1"), "--header", &format!("Authorization: Bearer {}", stage.node.key)])
        .args(["--phases", "examples,coverage,fuzzing", "--mode", "all", "--checks", CHECKS])
        .args(["--max-examples", "12", "--seed", "6", "--generation-deterministic", "--suppress-health-check", "all"])
        .args(["--request-timeout", "30", "--no-color"])
        .env("OWN_KEY", &own)
        .env("SCHEMATHESIS_HOOKS", "hooks")
        .env("PYTHONPATH", python::script(""))
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .current_dir(folder.path())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .output();
    let output = tokio::time::timeout(PATIENCE, run).await.expect("schemathesis ends").unwrap();
    let said = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).concat();
    assert!(output.status.success(), "{said}");
    // Else nearly everything was refused for its key, and nothing was seen.
    assert_eq!(own_key(&stage).await, own);
}

/// The id of the key that everything is asked with.
async fn own_key(stage: &Stage) -> String {
    let (_, keys) = stage.node.get("/keys?limit=1000").await;
    let keys = keys["items"].as_array().expect("the key is good");
    let own = keys.iter().find(|key| key["sender"] == "tests").unwrap();
    own["id"].as_str().unwrap().to_owned()
}
