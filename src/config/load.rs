//! Reading settings: file, then environment, then every check, and all mistakes at once.

use std::collections::BTreeSet;
use std::path::Path;

use figment::Figment;
use figment::providers::{Env, Format, Serialized, Toml};
use figment::value::{Dict, Value};

use super::{Config, Mode, Period};

/// Everything that is wrong with the settings, one line each.
#[derive(Debug, thiserror::Error)]
#[error("the configuration has {} mistake{}:\n{}", .0.len(), if .0.len() == 1 { "" } else { "s" }, .0.join("\n"))]
pub struct ConfigError(pub Vec<String>);

/// Reads `file` (if any), then `HANDFAST_SECTION__KEY` variables over it, and checks the whole.
pub fn load(file: Option<&Path>) -> Result<Config, ConfigError> {
    let mut figment = Figment::new();
    if let Some(path) = file {
        if !path.is_file() {
            return Err(ConfigError(vec![format!("  {}: no such file", path.display())]));
        }
        figment = figment.merge(Toml::file_exact(path));
    }
    // HANDFAST_CONFIG names the file itself and HANDFAST_API_… is the command line's; neither is a setting.
    let variables =
        Env::prefixed("HANDFAST_").filter(|key| key.as_str().contains("__") || is_top_level(key.as_str())).split("__");
    let as_text: Vec<_> = variables.iter().filter(|(_, text)| changes_as_a_number(text)).collect();
    figment = figment.merge(variables);
    for (key, text) in as_text {
        figment = figment.merge((key.as_str(), text.trim()));
    }
    read(&figment)
}

/// Whether it would be written otherwise once it was read as a number, as with noughts in front: then a secret would be another.
fn changes_as_a_number(text: &str) -> bool {
    let text = text.trim();
    text.parse::<i128>().is_ok_and(|number| number.to_string() != text)
}

fn is_top_level(key: &str) -> bool {
    ["mode", "domain", "data_dir"].iter().any(|name| key.eq_ignore_ascii_case(name))
}

fn read(figment: &Figment) -> Result<Config, ConfigError> {
    let mut mistakes = Vec::new();
    let values: Dict = figment.extract().map_err(|e| ConfigError(e.into_iter().map(|e| format!("  {e}")).collect()))?;
    let defaults = Value::serialize(Config::default()).ok().and_then(Value::into_dict).unwrap_or_default();
    unknown_keys("", &values, &defaults, &mut mistakes);
    // One leaf at a time over the defaults, so that each wrong value is named and not only the first.
    let mut good = Figment::from(Serialized::defaults(&defaults));
    for (key, value) in leaves("", &values) {
        let alone = Figment::from(Serialized::defaults(&defaults)).merge((key.as_str(), value.clone()));
        match alone.extract::<Config>() {
            Ok(_) => good = good.merge((key.as_str(), value)),
            Err(error) => mistakes.extend(error.into_iter().map(|e| format!("  {key}: {}", e.kind))),
        }
    }
    let config: Config = good.extract().map_err(|e| ConfigError(vec![format!("  {e}")]))?;
    check(&config, &mut mistakes);
    if mistakes.is_empty() { Ok(config) } else { Err(ConfigError(mistakes)) }
}

/// Maps whose keys are the user's own.
const OPEN_MAPS: [&str; 2] = ["development.resolve", "homing.gateway.scope_notes"];

fn unknown_keys(path: &str, given: &Dict, known: &Dict, mistakes: &mut Vec<String>) {
    let names: BTreeSet<&String> = known.keys().collect();
    for (key, value) in given {
        let full = join(path, key);
        match (known.get(key), value) {
            (None, _) => mistakes.push(format!("  {full}: no such setting{}", nearest(key, &names))),
            (Some(Value::Dict(_, known)), Value::Dict(_, given)) if !OPEN_MAPS.contains(&full.as_str()) => {
                unknown_keys(&full, given, known, mistakes);
            }
            _ => {}
        }
    }
}

fn nearest(key: &str, names: &BTreeSet<&String>) -> String {
    let shares_start = |name: &&&String| name.starts_with(key.get(..3).unwrap_or(key)) || name.contains(key);
    names.iter().find(shares_start).map(|name| format!(" (did you mean \"{name}\"?)")).unwrap_or_default()
}

fn leaves(path: &str, dict: &Dict) -> Vec<(String, Value)> {
    let mut found = Vec::new();
    for (key, value) in dict {
        let full = join(path, key);
        match value {
            Value::Dict(_, inner) if !OPEN_MAPS.contains(&full.as_str()) => found.extend(leaves(&full, inner)),
            _ => found.push((full, value.clone())),
        }
    }
    found
}

fn join(path: &str, key: &str) -> String {
    if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") }
}

fn check(config: &Config, mistakes: &mut Vec<String>) {
    let mut wrong = |key: &str, what: &str| mistakes.push(format!("  {key}: {what}"));
    if let Err(e) = config.domain.parse::<crate::openmsg::Domain>() {
        wrong("domain", &format!("{e} (the part behind the * of this node's addresses, such as \"shop.example\")"));
    }
    if config.data_dir.as_os_str().is_empty() {
        wrong("data_dir", "is not set");
    }
    if config.public.tls_cert.is_some() != config.public.tls_key.is_some() {
        wrong("public.tls_cert", "set both tls_cert and tls_key, or neither (plain HTTP behind a proxy)");
    }
    let development = &config.development;
    if config.mode == Mode::Production && !development.resolve.is_empty() {
        wrong("development.resolve", "refused with mode = \"production\"");
    }
    if config.mode == Mode::Production && !development.allow_addresses.is_empty() {
        wrong("development.allow_addresses", "refused with mode = \"production\"");
    }
    if config.codes.pass_code_life > Period::hours(1) {
        wrong("codes.pass_code_life", "at most 1h (Openmsg: \"1 hour or less\")");
    }
    if config.delivery.schedule.is_empty() {
        wrong("delivery.schedule", "needs at least one wait");
    }
    if !(0.0..=1.0).contains(&config.delivery.jitter) {
        wrong("delivery.jitter", "must be between 0 and 1");
    }
    if !(1..=1000).contains(&config.delivery.chunk) {
        wrong("delivery.chunk", "must be between 1 and 1000");
    }
    let destinations = &config.destinations;
    if !(destinations.failures_share > 0.0 && destinations.failures_share <= 1.0) {
        wrong("destinations.failures_share", "must be above 0 and at most 1");
    }
    if destinations.open_at_most < destinations.open_for {
        wrong("destinations.open_at_most", "must not be shorter than open_for");
    }
    let at_least_one = [
        ("destinations.concurrency", destinations.concurrency > 0, "must be at least 1"),
        ("destinations.failures_in_a_row", destinations.failures_in_a_row > 0, "must be at least 1"),
        ("destinations.failures_least", destinations.failures_least > 0, "must be at least 1"),
        ("destinations.open_for", destinations.open_for >= Period::millis(100), "must be at least 100ms"),
        ("database.pool", config.database.pool >= 4, "must be at least 4"),
        ("delivery.in_flight", config.delivery.in_flight > 0, "must be at least 1"),
        ("delivery.handshakes", config.delivery.handshakes > 0, "must be at least 1"),
        ("openmsg.callbacks", config.openmsg.callbacks > 0, "must be at least 1"),
        ("openmsg.callbacks_per_domain", config.openmsg.callbacks_per_domain > 0, "must be at least 1"),
        ("codes.live_per_account", config.codes.live_per_account > 0, "must be at least 1"),
        ("public.connections", config.public.connections > 0, "must be at least 1"),
        ("public.connections_per_ip", config.public.connections_per_ip > 0, "must be at least 1"),
        ("public.read_timeout", config.public.read_timeout >= Period::millis(100), "must be at least 100ms"),
        ("private.connections", config.private.connections > 0, "must be at least 1"),
        ("private.read_timeout", config.private.read_timeout >= Period::millis(100), "must be at least 100ms"),
        ("delivery.settle_every", config.delivery.settle_every >= Period::millis(1), "must be at least 1ms"),
        ("delivery.lease", config.delivery.lease >= Period::seconds(3), "must be at least 3s"),
    ];
    for (key, good, what) in at_least_one {
        if !good {
            wrong(key, what);
        }
    }
    let doors =
        [config.textsecure.mistakes(config.mode), config.mesibo.mistakes(config), config.homing.mistakes(config)];
    let rest = config
        .mailbox
        .mistakes(config)
        .into_iter()
        .chain(config.providers.mistakes(config.mode))
        .chain(config.audit.mistakes())
        .chain(config.telemetry.mistakes());
    let rest = rest.chain(config.console.mistakes(config.private.trusted_proxies.len()));
    for (key, what) in doors.into_iter().flatten().chain(rest) {
        wrong(&key, &what);
    }
    let prefix_ok = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    if config.amqp.prefix.is_empty() || !config.amqp.prefix.chars().all(prefix_ok) {
        wrong("amqp.prefix", "letters, digits, dot, dash and underscore only, at least one");
    }
}

/// For the fuzzer.
#[cfg(any(test, fuzzing))]
pub(super) fn fuzzed(text: &str) {
    if let Err(mistakes) = read(&Figment::from(Toml::string(text))) {
        assert!(!mistakes.0.is_empty(), "refused without a word");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_text(text: &str) -> Result<Config, ConfigError> {
        read(&Figment::from(Toml::string(text)))
    }

    #[test]
    fn the_example_is_right_and_shows_the_defaults() {
        let example = read_text(super::super::EXAMPLE).unwrap();
        let bare = read_text("domain = \"shop.example\"\ndata_dir = \"/var/lib/handfast\"").unwrap();
        let shown = |config: &Config| toml::to_string(config).unwrap();
        assert_eq!(shown(&example), shown(&bare));
    }

    #[test]
    fn the_example_names_every_setting() {
        let defaults = Value::serialize(Config::default()).ok().and_then(Value::into_dict).unwrap();
        for (key, _) in leaves("", &defaults) {
            let name = key.rsplit('.').next().unwrap();
            assert!(super::super::EXAMPLE.contains(&format!("{name} =")), "{key} is not in the example");
        }
    }

    #[test]
    fn of_two_that_belong_together_one_can_be_set() {
        let config =
            read_text("domain = \"shop.example\"\ndata_dir = \"/tmp\"\n[textsecure.limits.sms]\nbucket = 7").unwrap();
        let (set, usual) = (config.textsecure.limits.sms, Config::default().textsecure.limits.sms);
        assert_eq!((set.bucket, set.per_minute), (7, usual.per_minute));
    }

    #[test]
    fn what_no_setting_is_called_is_a_mistake_in_any_script_and_zero_where_nothing_would_go() {
        let ConfigError(mistakes) = read_text("\"größe\" = 1\n[delivery]\nsettle_every = \"0ms\"").unwrap_err();
        for key in ["größe", "delivery.settle_every"] {
            assert!(mistakes.iter().any(|m| m.trim_start().starts_with(&format!("{key}:"))), "{key} in {mistakes:#?}");
        }
    }

    #[test]
    fn the_periods_and_sizes_of_the_textsecure_door_have_bounds() {
        let found = |key: &str, value: &str| {
            let text = format!("domain = \"shop.example\"\ndata_dir = \"/tmp\"\n[textsecure]\n{key} = \"{value}\"");
            let mistakes = read_text(&text).err().map(|ConfigError(mistakes)| mistakes).unwrap_or_default();
            mistakes.iter().any(|m| m.trim_start().starts_with(&format!("textsecure.{key}:")))
        };
        for (key, least, below) in [
            ("message_life", "1m", "59s"),
            ("message_life", "365d", "366d"),
            ("relay_deadline", "1s", "999ms"),
            ("sync_every", "1s", "999ms"),
            ("body_limit", "1KiB", "1023B"),
        ] {
            assert!(!found(key, least) && found(key, below), "{key}");
        }
    }

    #[test]
    fn a_secret_of_digits_is_one_and_is_shown_to_nobody() {
        let bare = || Figment::from(Toml::string("domain = \"shop.example\"\ndata_dir = \"/tmp\""));
        let key = "providers.push.gcm.key";
        for (figment, text) in [
            (bare().merge((key, 12_345_678_u64)), "12345678"),
            (bare().merge((key, -12_345_678_i64)), "-12345678"),
            (bare().merge((key, true)), "true"),
        ] {
            assert_eq!(read(&figment).unwrap().providers.push.gcm.key.reveal(), text);
        }
        for (text, changes) in
            [("12345678", false), ("0123", true), ("+1", true), (" 7 ", false), ("0x1", false), ("", false)]
        {
            assert_eq!(changes_as_a_number(text), changes, "{text:?}");
        }
        let ConfigError(mistakes) = read(&bare().merge((key, 1234.5678))).unwrap_err();
        assert!(!mistakes.is_empty() && mistakes.iter().all(|m| !m.contains("5678")), "{mistakes:?}");
    }

    #[test]
    fn all_mistakes_are_reported_together() {
        let ConfigError(mistakes) = read_text(
            "data_dir = \"/tmp\"\ndomain = \"localhost\"\nlogs = 1\n[database]\npol = 3\npool = \"many\"\n[delivery]\ngrace = \"soon\"\n\
             [codes]\npass_code_life = \"2h\"\n[development]\nallow_addresses = [\"127.0.0.1\"]",
        )
        .unwrap_err();
        for key in [
            "logs",
            "database.pol",
            "database.pool",
            "delivery.grace",
            "domain",
            "codes.pass_code_life",
            "development.allow_addresses",
        ] {
            assert!(mistakes.iter().any(|m| m.trim_start().starts_with(&format!("{key}:"))), "{key} in {mistakes:#?}");
        }
    }
}
