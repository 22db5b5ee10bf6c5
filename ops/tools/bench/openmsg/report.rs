//! The table, for people and for programs.

use std::fmt::Write as _;

use serde_json::{Value, json};

use super::cpu::Cpu;
use crate::latencies::Latencies;

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

/// An object a line. The first of them, which is what a shop that sends its orders does, also under the name of the whole.
pub(crate) fn json(lines: &[Line]) -> Vec<Value> {
    let headline = lines.first().map(|line| {
        let mut object = object(line);
        object["same_as"] = object["scenario"].take();
        object["scenario"] = super::NAME.into();
        object
    });
    lines.iter().map(object).chain(headline).collect()
}

fn object(line: &Line) -> Value {
    let round = |value: f64| (value * 1000.0).round() / 1000.0;
    json!({
        "scenario": line.scenario, "rate": round(line.rate), "bare_rate": round(line.bare_rate), "ratio": round(line.ratio),
        "p50_ms": round(line.latencies.p50), "p99_ms": round(line.latencies.p99),
        "cpu_s_per_1000": round(line.cpu.total()),
        "cpu_s_per_1000_by": {
            "shop": round(line.cpu.shop), "customers": round(line.cpu.customers), "postgres": round(line.cpu.postgres),
            "rabbitmq": round(line.cpu.rabbitmq), "loader": round(line.cpu.loader),
        },
    })
}
