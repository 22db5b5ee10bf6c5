"""See `check`, which runs this at the repository's top."""

import re
import shlex
import sys
from pathlib import Path

import compose_spec
import dockerfile
import yaml

HERE = Path("ops/package/container")
wrong = []


def check(holds, words):
    if not holds:
        wrong.append(words)


def compose():
    text = (HERE / "compose.yaml").read_text()
    # Values as an engine would see them.
    filled = re.sub(r"\$\{[A-Z_]+:\?[^}]*\}", "filled", text)
    check("$" not in filled.replace("$$", ""), "compose.yaml: a variable that may be missing")
    model = compose_spec.PyCompose.from_yaml(yaml.safe_dump(yaml.safe_load(filled)))
    model.validate()
    plain = yaml.safe_load(filled)
    services = plain["services"]
    check(set(services) == {"postgres", "rabbitmq", "migrate", "serve", "work"}, f"services: {sorted(services)}")
    check(services["work"]["deploy"]["replicas"] == 2, "two workers")
    for name, service in services.items():
        for needed, how in service.get("depends_on", {}).items():
            check(needed in services, f"{name} needs {needed}, which is not there")
            healthy = how["condition"] == "service_healthy"
            check(not healthy or "healthcheck" in services[needed], f"{name} waits for {needed}'s health, which nobody checks")
        for volume in service.get("volumes", []):
            check(volume.split(":")[0] in plain["volumes"], f"{name}: no volume {volume}")
        check(name in ("postgres", "rabbitmq") or service["cap_drop"] == ["ALL"], f"{name} has capabilities")
    context = (HERE / services["serve"]["build"]["context"]).resolve()
    check(context == Path.cwd().resolve(), f"the context is {context}")
    check((context / services["serve"]["build"]["dockerfile"]).is_file(), "the Containerfile is not where compose.yaml says")
    example = Path("docs/handfast.toml").read_text()
    for name in services["work"]["environment"]:
        setting(name, example)


def setting(name, example):
    """HANDFAST_SECTION__NAME must be a setting of the example file."""
    *sections, last = name.removeprefix("HANDFAST_").lower().split("__")
    section = example.split(f"[{'.'.join(sections)}]")[1].split("\n[")[0] if sections else example.split("\n[")[0]
    check(re.search(rf"^#? ?{last} =", section, re.M), f"{name} is no setting")


def containerfile():
    commands = dockerfile.parse_file(str(HERE / "Containerfile"))
    copied = [Path(part) for c in commands if c.cmd == "COPY" and not any("--from" in f for f in c.flags) for part in c.value[:-1]]
    for path in copied:
        check(path.exists(), f"Containerfile copies {path}, which is not there")
    ignored = [line[1:] for line in (HERE / "Containerfile.dockerignore").read_text().splitlines() if line.startswith("!")]
    for path in copied:
        check(any(path.is_relative_to(kept) for kept in ignored), f"{path} is copied and ignored")
    # What the program is built from besides its sources.
    for source in [*Path("src").rglob("*.rs"), *Path("workers").rglob("*.rs")]:
        for included in re.findall(r'include_(?:str|bytes)!\(\s*"([^"]+)"', source.read_text()):
            path = Path(*(source.parent / included).parts).resolve().relative_to(Path.cwd().resolve())
            check(any(path.is_relative_to(kept) for kept in copied), f"{source} includes {path}, which is not copied")
    for path in re.findall(r'^path = "([^"]+)"', Path("Cargo.toml").read_text(), re.M):
        check(any(Path(path).is_relative_to(kept) for kept in copied), f"Cargo.toml names {path}, which is not copied")
    last = {c.cmd: c for c in commands}
    check(last["USER"].value[0].split(":")[0] not in ("0", "root"), "it runs as root")
    check(last["ENTRYPOINT"].json and last["CMD"].json, "entry point and command must not go through a shell")
    health = last["HEALTHCHECK"].value
    check(health[0] == "CMD" and "/readyz" in health[-1], f"health check: {health}")
    example = Path("docs/handfast.toml").read_text()
    for name in last["ENV"].value[::2]:
        setting(name, example)
    for script in [HERE / "prepare"]:
        check(script.stat().st_mode & 0o111, f"{script} cannot be run")
    check(shlex.split(" ".join(last["CMD"].value)) == ["serve"], "the image serves unless told otherwise")


compose()
containerfile()
for words in wrong:
    print(f"ops/package/container/check: {words}", file=sys.stderr)
sys.exit(1 if wrong else 0)
