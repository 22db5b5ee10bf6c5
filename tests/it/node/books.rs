//! Looking into a node's database.

use std::collections::BTreeMap;

use super::Node;

/// Rows by table.
pub(crate) type Counts = BTreeMap<String, i64>;

/// Rows that come and go by themselves, or count what was refused, which is what they are for.
const PASSING: [&str; 4] = ["counters", "node", "workers", "refinery_schema_history"];

impl Node {
    /// How many rows every table holds that stands for something a person would miss or mind.
    pub(crate) async fn counts(&self) -> Counts {
        let mut counts = Counts::new();
        for table in self.tables().await {
            if !PASSING.contains(&table.as_str()) {
                let row = self.app.db.row(&format!("select count(*) from {table}"), &[]).await.expect("counted");
                counts.insert(table, row.expect("one row").get(0));
            }
        }
        counts
    }

    /// Every row of every table as PostgreSQL spells it: bytes as hexadecimal digits.
    pub(crate) async fn dump(&self) -> String {
        let mut dump = String::new();
        for table in self.tables().await {
            for row in self.app.db.rows(&format!("select t::text from {table} t"), &[]).await.expect("read") {
                dump.push_str(&format!("{table}: {}\n", row.get::<_, String>(0)));
            }
        }
        dump
    }

    /// The first value of a statement's first row, which must be there.
    pub(crate) async fn value<T: for<'a> tokio_postgres::types::FromSql<'a>>(&self, sql: &str) -> T {
        let row = self.app.db.row(sql, &[]).await.expect("a statement that works");
        row.unwrap_or_else(|| panic!("no row: {sql}")).get(0)
    }

    /// Runs a statement, for what no request can bring about (such as the past).
    pub(crate) async fn execute(&self, sql: &str) -> u64 {
        self.app.db.execute(sql, &[]).await.expect("a statement that works")
    }

    /// Waits until nothing waits, is being sent or is to be tried again, and no handshake is open.
    ///
    /// # Panics
    /// When work is left after half a minute.
    pub(crate) async fn drain(&self) {
        super::eventually("all work is done", async || self.work_left().await.is_empty()).await;
    }

    /// What is not finished, in words; empty when everything is.
    pub(crate) async fn work_left(&self) -> Vec<String> {
        let summary = self.get("messages/summary").await;
        let open = ["pending", "sending", "retrying"].into_iter();
        let mut left: Vec<String> =
            open.filter(|state| summary[*state] != 0).map(|state| format!("{state}: {}", summary[state])).collect();
        let handshakes: i64 = self.value("select count(*) from handshakes where finished_at is null").await;
        if handshakes > 0 {
            left.push(format!("handshakes: {handshakes}"));
        }
        left
    }

    /// Tables, not partitions.
    async fn tables(&self) -> Vec<String> {
        let sql = "select relname::text from pg_class where relkind in ('r', 'p') and not relispartition \
                   and relnamespace = 'public'::regnamespace order by relname";
        self.app.db.rows(sql, &[]).await.expect("read").into_iter().map(|row| row.get(0)).collect()
    }
}
