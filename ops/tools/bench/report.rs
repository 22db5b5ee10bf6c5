//! The table, for people and for programs.

use std::fmt::Write as _;

use serde_json::{Value, json};

use crate::cpu::Cpu;
use crate::scenario::Latencies;

/// One scenario's medians.
#[derive(Debug)]
pub(crate) struct Line {
    pub(crate) scenario: &'static str,
    /// Messages per second, from the first request until the last was in its inbox.
    pub(crate) rate: f64,
    pub(crate) bare_rate: f64,
    pub(crate) ratio: f64,
    /// From the request to the inbox, in milliseconds.
    pub(crate) latencies: Latencies,
    pub(crate) cpu: Cpu,
}

pub(crate) fn table(lines: &[Line]) -> String {
    let mut text = String::from(
        "                                                    request to inbox    CPU seconds per 1,000 messages\n\
         scenario               rate/s  bare/s  ratio      p50 ms     p99 ms    total   shop  cust.     pg    rmq (loader)\n",
    );
    for line in lines {
        let Line { scenario, rate, bare_rate, ratio, latencies, cpu } = line;
        let _ = writeln!(
            text,
            "{scenario:<20} {rate:>8.0}{bare_rate:>8.0}  {ratio:>5.2}  {:>10.1} {:>10.1}   {:>6.2} {:>6.2} {:>6.2} {:>6.2} {:>6.2} {:>8.2}",
            latencies.p50,
            latencies.p99,
            cpu.total(),
            cpu.shop,
            cpu.customers,
            cpu.postgres,
            cpu.rabbitmq,
            cpu.loader,
        );
    }
    text
}

pub(crate) fn json(lines: &[Line]) -> String {
    let round = |value: f64| (value * 1000.0).round() / 1000.0;
    let object = |line: &Line| -> Value {
        json!({
            "scenario": line.scenario, "rate": round(line.rate), "bare_rate": round(line.bare_rate), "ratio": round(line.ratio),
            "p50_ms": round(line.latencies.p50), "p99_ms": round(line.latencies.p99),
            "cpu_s_per_1000": round(line.cpu.total()),
            "cpu_s_per_1000_by": {
                "shop": round(line.cpu.shop), "customers": round(line.cpu.customers), "postgres": round(line.cpu.postgres),
                "rabbitmq": round(line.cpu.rabbitmq), "loader": round(line.cpu.loader),
            },
        })
    };
    let list: Vec<Value> = lines.iter().map(object).collect();
    format!("{:#}\n", Value::from(list))
}
