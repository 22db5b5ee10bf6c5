//! The list of all metrics that this node has, but for those of the process itself (`process`).
//!
//! Every process exports all of them; what is not its business stays at zero, or is left out where it has labels.

use super::metrics::{Counters, Family, Gauges, Times};

const LANES: &[[&str; 1]] = &[["interactive"], ["bulk"], ["status"]];
const CHANNELS: &[[&str; 1]] =
    &[["openmsg"], ["webhook"], ["sms"], ["voice"], ["email"], ["push"], ["relay"], ["notice"]];

/// Requests answered, or given up by who asked.
pub static REQUESTS: Counters<4> = Counters::new(
    "handfast_requests_total",
    "HTTP requests by door, route, method and status; status \"gone\": the client left before there was an answer.",
    ["door", "route", "method", "status"],
    &[],
);
/// How long their answers took to begin.
pub static REQUEST_TIMES: Times<3> = Times::new(
    "handfast_request_duration_seconds",
    "Time from a request's head to its answer's head.",
    ["door", "route", "method"],
    &[],
);
/// Requests in hand.
pub static REQUESTS_OPEN: Gauges<1> = Gauges::new(
    "handfast_requests_in_flight",
    "HTTP requests being answered.",
    ["listener"],
    &[["public"], ["private"]],
);
/// Connections to the listeners.
pub static CONNECTIONS: Gauges<1> =
    Gauges::new("handfast_connections_open", "Open connections by listener.", ["listener"], &[["public"], ["private"]]);
/// Deliveries taken into the books.
pub static ACCEPTED: Counters<1> =
    Counters::new("handfast_deliveries_accepted_total", "Deliveries committed to the books.", ["lane"], LANES);
/// Requests refused because there is too much.
pub static REFUSED: Counters<1> = Counters::new(
    "handfast_accepts_refused_total",
    "Requests whose messages were refused because there is too much: backlog of the lane, or a slow database.",
    ["reason"],
    &[["backlog"], ["database"]],
);
/// Commits of what was accepted.
pub static ACCEPT_TIMES: Times<0> = Times::new(
    "handfast_accept_commit_duration_seconds",
    "Time of the statement that commits accepted messages.",
    [],
    &[[]],
);
/// Jobs given to the broker.
pub static PUBLISHED: Counters<2> = Counters::new(
    "handfast_jobs_published_total",
    "Jobs given to the broker, confirmed or not.",
    ["lane", "outcome"],
    &[
        ["interactive", "confirmed"],
        ["interactive", "failed"],
        ["bulk", "confirmed"],
        ["bulk", "failed"],
        ["status", "confirmed"],
        ["status", "failed"],
    ],
);
/// Connections made to the broker: beyond the first of each purpose, each is a reconnect.
pub static BROKER_CONNECTS: Counters<1> = Counters::new(
    "handfast_broker_connects_total",
    "Connections made to RabbitMQ; beyond the first few of a process, each is a reconnect.",
    ["purpose"],
    &[["jobs out"], ["jobs in"], ["asks out"], ["replies"], ["overview"]],
);
/// Attempts to connect to the broker that failed.
pub static BROKER_FAILURES: Counters<0> = Counters::new(
    "handfast_broker_connect_failures_total",
    "Connections to RabbitMQ that could not be made.",
    [],
    &[[]],
);
/// Deliveries claimed.
pub static CLAIMED: Counters<1> =
    Counters::new("handfast_deliveries_claimed_total", "Deliveries claimed by this worker.", ["lane"], LANES);
/// Claims that found nothing to do.
pub static CLAIMS_VOID: Counters<0> = Counters::new(
    "handfast_claims_void_total",
    "Chunks that were done, cancelled or another worker's when this one claimed them.",
    [],
    &[[]],
);
/// Tries.
pub static ATTEMPTS: Counters<2> = Counters::new(
    "handfast_attempts_total",
    "Tries of deliveries, by channel and outcome.",
    ["channel", "outcome"],
    &[
        ["openmsg", "delivered"],
        ["openmsg", "refused-for-now"],
        ["openmsg", "refused-for-good"],
        ["openmsg", "not-sent"],
        ["openmsg", "unknown"],
        ["webhook", "delivered"],
        ["webhook", "refused-for-now"],
        ["webhook", "refused-for-good"],
        ["webhook", "not-sent"],
        ["webhook", "unknown"],
    ],
);
/// How long they took.
pub static ATTEMPT_TIMES: Times<1> =
    Times::new("handfast_attempt_duration_seconds", "Time of a try of a delivery.", ["channel"], CHANNELS);
/// What became of deliveries.
pub static SETTLED: Counters<1> = Counters::new(
    "handfast_deliveries_settled_total",
    "Deliveries written down by this worker, by what follows for them.",
    ["next"],
    &[["delivered"], ["failed"], ["expired"], ["unconfirmed"], ["cancelled"], ["again"], ["waits"]],
);
/// Results that came too late.
pub static LATE: Counters<0> = Counters::new(
    "handfast_results_late_total",
    "Claims whose results came after another worker had taken over.",
    [],
    &[[]],
);
/// Settling.
pub static SETTLE_TIMES: Times<0> =
    Times::new("handfast_settle_duration_seconds", "Time of the statement that writes results down.", [], &[[]]);
/// Retries.
pub static RETRIES: Counters<0> =
    Counters::new("handfast_retries_scheduled_total", "Tries after which a delivery waits for another one.", [], &[[]]);
/// Breakers that opened.
pub static BREAKERS: Counters<0> =
    Counters::new("handfast_breaker_openings_total", "Breakers of destinations that this worker opened.", [], &[[]]);
/// Asks.
pub static ASKS: Counters<1> = Counters::new(
    "handfast_asks_total",
    "Requests handed to a worker while their client waits, by what came of it.",
    ["outcome"],
    &[["answered"], ["not-sent"], ["timed-out"]],
);
/// How long they took.
pub static ASK_TIMES: Times<0> =
    Times::new("handfast_ask_duration_seconds", "Time until a worker's answer to an ask.", [], &[[]]);
/// Messages received.
pub static RECEIVED: Counters<0> =
    Counters::new("handfast_messages_received_total", "Messages of other nodes stored for our accounts.", [], &[[]]);
/// Codes handed to carriers.
pub static CODES: Counters<2> = Counters::new(
    "handfast_codes_sent_total",
    "Codes handed to a carrier, by its name in the settings and what it said.",
    ["carrier", "outcome"],
    &[],
);
/// Logins by code.
pub static LOGINS: Counters<1> = Counters::new(
    "handfast_logins_total",
    "Second steps of logins by code, by what came of them.",
    ["outcome"],
    &[["signed-in"], ["wrong"], ["limited"], ["bad-address"], ["unavailable"], ["refused"], ["error"]],
);
/// The pool.
pub static DB_CONNECTIONS: Gauges<1> = Gauges::new(
    "handfast_db_connections",
    "Connections of this process to PostgreSQL.",
    ["state"],
    &[["busy"], ["idle"]],
);
/// How large it may grow.
pub static DB_CONNECTIONS_MOST: Gauges<0> =
    Gauges::new("handfast_db_connections_max", "Connections that this process may open (database.pool).", [], &[[]]);
/// Who waits for one.
pub static DB_WAITING: Gauges<0> =
    Gauges::new("handfast_db_waiting", "Tasks that wait for a connection to PostgreSQL.", [], &[[]]);
/// What went wrong.
pub static DB_ERRORS: Counters<1> = Counters::new(
    "handfast_db_errors_total",
    "Statements and connections that failed: unavailable (away, full, or rolled back; tried again), statement (a defect).",
    ["kind"],
    &[["unavailable"], ["statement"]],
);
/// Spans that were lost.
pub static SPANS_FAILED: Counters<0> =
    Counters::new("handfast_trace_export_failures_total", "Exports of spans to the collector that failed.", [], &[[]]);
/// Which program this is.
pub static BUILD: Gauges<1> = Gauges::new("handfast_build_info", "Always 1; the program's version.", ["version"], &[]);

/// A node key is missing.
pub static KEY_LACKING: Gauges<0> = Gauges::new(
    "handfast_node_key_lacking",
    "Whether this process lacks a node key that seals: a worker takes nothing then.",
    [],
    &[[]],
);
/// The database answered the last overview.
pub static OVERVIEW_UP: Gauges<0> = Gauges::new(
    "handfast_overview_up",
    "Whether the database answered the last overview; what follows is of the last one that was answered. Exported by serve.",
    [],
    &[],
);
/// What is exported of the whole node was true then.
pub static OVERVIEW_AGE: Gauges<0> = Gauges::new(
    "handfast_overview_age_seconds",
    "How old the numbers of the whole node are that follow. Exported by serve.",
    [],
    &[],
);
/// Open deliveries of the whole node.
pub static OPEN: Gauges<2> = Gauges::new(
    "handfast_open_deliveries",
    "Open deliveries of the whole node, by lane and state; counted up to 20,000 rows of a kind. Exported by serve.",
    ["lane", "state"],
    &[],
);
/// The oldest that waits.
pub static OLDEST: Gauges<2> = Gauges::new(
    "handfast_oldest_waiting_seconds",
    "How long the oldest due delivery has been waiting for a worker, or for anything (its destination, too). Exported by serve.",
    ["lane", "for"],
    &[],
);
/// What lies in the broker.
pub static AHEAD: Gauges<1> = Gauges::new(
    "handfast_published_ahead_deliveries",
    "Deliveries that lie in the broker and are not claimed. Exported by serve.",
    ["lane"],
    &[],
);
/// The broker answered.
pub static BROKER_UP: Gauges<0> =
    Gauges::new("handfast_broker_up", "Whether RabbitMQ answered the last overview. Exported by serve.", [], &[]);
/// Depth of its queues.
pub static QUEUE: Gauges<1> = Gauges::new(
    "handfast_queue_messages",
    "Messages in a queue that nobody has taken. Exported by serve.",
    ["queue"],
    &[],
);
/// Who takes from them.
pub static CONSUMERS: Gauges<1> =
    Gauges::new("handfast_queue_consumers", "Consumers of a queue. Exported by serve.", ["queue"], &[]);
/// Destinations.
pub static DESTINATIONS: Gauges<1> = Gauges::new(
    "handfast_destinations",
    "Destinations: all that are known, and of them those that nothing goes to. Exported by serve.",
    ["state"],
    &[],
);
/// Workers alive.
pub static WORKERS: Gauges<0> =
    Gauges::new("handfast_workers", "Worker processes alive, by their heartbeat. Exported by serve.", [], &[]);
/// What they hold.
pub static IN_HAND: Gauges<0> =
    Gauges::new("handfast_deliveries_in_hand", "Deliveries that workers hold. Exported by serve.", [], &[]);
/// Campaigns.
pub static CAMPAIGNS: Gauges<1> =
    Gauges::new("handfast_campaigns", "Campaigns that are not over. Exported by serve.", ["state"], &[]);

/// All of them.
pub static ALL: &[&dyn Family] = &[
    &REQUESTS,
    &REQUEST_TIMES,
    &REQUESTS_OPEN,
    &CONNECTIONS,
    &ACCEPTED,
    &REFUSED,
    &ACCEPT_TIMES,
    &PUBLISHED,
    &BROKER_CONNECTS,
    &BROKER_FAILURES,
    &CLAIMED,
    &CLAIMS_VOID,
    &ATTEMPTS,
    &ATTEMPT_TIMES,
    &SETTLED,
    &LATE,
    &SETTLE_TIMES,
    &RETRIES,
    &BREAKERS,
    &ASKS,
    &ASK_TIMES,
    &RECEIVED,
    &CODES,
    &LOGINS,
    &DB_CONNECTIONS,
    &DB_CONNECTIONS_MOST,
    &DB_WAITING,
    &DB_ERRORS,
    &SPANS_FAILED,
    &BUILD,
    &KEY_LACKING,
    &OVERVIEW_UP,
    &OVERVIEW_AGE,
    &OPEN,
    &OLDEST,
    &AHEAD,
    &BROKER_UP,
    &QUEUE,
    &CONSUMERS,
    &DESTINATIONS,
    &WORKERS,
    &IN_HAND,
    &CAMPAIGNS,
];
