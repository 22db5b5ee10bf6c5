//! The table of the webhook scenarios, for people and for programs.

use std::fmt::Write as _;

use anyhow::Context;
use serde_json::{Map, Value, json};

use crate::by_process::ByProcess;
use crate::round::{Round, median};

/// One scenario.
pub(crate) struct Row {
    scenario: &'static str,
    median: Round,
    rounds: Vec<Round>,
    /// MiB at the end.
    memory: ByProcess,
    /// What only this scenario has to say.
    more: Map<String, Value>,
    pub(crate) remarks: Vec<String>,
}

const HEAD: &str = "\
                                bare loop                with one thread        accepted      sent to arrival     CPU seconds per 1,000 deliveries                             memory, MiB
scenario                 rate/s       /s ratio CPU s        /s ratio CPU s       /s p50 ms    p50 ms    p99 ms    total  serve   work     pg    rmq loader   sink   serve  work    pg   rmq  steal other
";

impl Row {
    pub(crate) fn of(scenario: &'static str, rounds: Vec<Round>, memory: ByProcess) -> anyhow::Result<Self> {
        let median = median(&rounds).context("no round")?.clone();
        Ok(Self { scenario, median, rounds, memory, more: Map::new(), remarks: Vec::new() })
    }

    /// A further key of its JSON object.
    pub(crate) fn add(&mut self, key: &str, value: Value) {
        self.more.insert(key.to_owned(), rounded(value));
    }

    /// Whether anything was lost, doubled, changed or unsigned.
    pub(crate) fn faults(&self) -> Vec<String> {
        let sum = |of: fn(&Round) -> u64| self.rounds.iter().map(of).sum::<u64>();
        let faults = [
            (sum(|round| round.lost), "lost"),
            (sum(|round| round.doubles), "delivered twice"),
            (sum(|round| round.strange), "arrived changed"),
            (sum(|round| round.unsigned), "arrived unsigned"),
        ];
        let told = |(count, what): &(u64, &str)| format!("{}: {count} {what}", self.scenario);
        faults.iter().filter(|(count, _)| *count > 0).map(told).collect()
    }

    fn line(&self) -> String {
        let Self { scenario, median: m, memory, .. } = self;
        format!(
            "{scenario:<22} {:>8.0} {:>8.0} {:>5.2} {:>5.3}  {:>8.0} {:>5.2} {:>5.3} {:>8.0} {:>6.1} {:>9.1} {:>9.1}   {:>6.3} {:>6.3} \
             {:>6.3} {:>6.3} {:>6.3} {:>6.3} {:>6.3}   {:>5.0} {:>5.0} {:>5.0} {:>5.0} {:>4.1} % {:>3.1} %{}\n",
            m.rate,
            m.bare_rate,
            m.ratio,
            m.bare_cpu_s_per_1000,
            m.bare_one_thread_rate,
            m.ratio_one_thread,
            m.bare_one_thread_cpu_s_per_1000,
            m.accept_rate,
            m.accept_latencies.p50,
            m.latencies.p50,
            m.latencies.p99,
            m.cpu.total(),
            m.cpu.serve,
            m.cpu.work,
            m.cpu.postgres,
            m.cpu.rabbitmq,
            m.cpu.loader,
            m.cpu.sink,
            memory.serve,
            memory.work,
            memory.postgres,
            memory.rabbitmq,
            m.steal_percent,
            m.other_percent,
            if m.disturbed { "  disturbed" } else { "" },
        )
    }

    fn json(&self) -> Value {
        let Self { scenario, median: m, rounds, memory, more, remarks } = self;
        let mut object = rounded(json!({
            "scenario": scenario, "rate": m.rate, "bare_rate": m.bare_rate, "ratio": m.ratio,
            "p50_ms": m.latencies.p50, "p99_ms": m.latencies.p99,
            "cpu_s_per_1000": m.cpu.total(), "cpu_s_per_1000_by": m.cpu, "bare_cpu_s_per_1000": m.bare_cpu_s_per_1000,
            "bare_one_thread_rate": m.bare_one_thread_rate, "ratio_one_thread": m.ratio_one_thread,
            "bare_one_thread_cpu_s_per_1000": m.bare_one_thread_cpu_s_per_1000,
            "accept_rate": m.accept_rate, "rate_while_accepting": m.rate_while_accepting,
            "accept_p50_ms": m.accept_latencies.p50, "accept_p99_ms": m.accept_latencies.p99,
            "memory_mib_by": memory, "messages": m.messages,
            "steal_percent": m.steal_percent, "other_percent": m.other_percent, "disturbed": m.disturbed,
            "lost": rounds.iter().map(|round| round.lost).sum::<u64>(),
            "doubles": rounds.iter().map(|round| round.doubles).sum::<u64>(),
            "asked_to_wait": m.asked_to_wait, "connections": m.connections, "remarks": remarks, "rounds": rounds,
        }));
        if let Value::Object(object) = &mut object {
            object.extend(more.clone());
        }
        object
    }
}

/// The table with its foot.
pub(crate) fn table(rows: &[Row]) -> String {
    if rows.is_empty() {
        return String::new();
    }
    let mut text = rows.iter().fold(HEAD.to_owned(), |text, row| text + &row.line());
    text.push_str(
        "Not at their defaults: mode = \"development\", so that sink.test may be found on loopback and its throw-away authority be \
         trusted; the private\nPostgreSQL and RabbitMQ are those of `handfast up`. disturbed: the host or other processes took more \
         than 5 % of the machine.\n",
    );
    for row in rows {
        for remark in &row.remarks {
            let _ = writeln!(text, "{}: {remark}", row.scenario);
        }
    }
    text
}

/// An object a scenario.
pub(crate) fn json(rows: &[Row]) -> Vec<Value> {
    rows.iter().map(Row::json).collect()
}

/// Numbers to four places: more is noise.
fn rounded(value: Value) -> Value {
    match value {
        Value::Number(number) if number.is_f64() => {
            number.as_f64().map(|n| json!((n * 10_000.0).round() / 10_000.0)).unwrap_or_default()
        }
        Value::Array(values) => values.into_iter().map(rounded).collect(),
        Value::Object(object) => object.into_iter().map(|(key, value)| (key, rounded(value))).collect(),
        other => other,
    }
}
