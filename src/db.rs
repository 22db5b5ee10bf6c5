//! PostgreSQL: the pool, migrations, and the two questions asked of every error (is it us, is it passing?).
//!
//! The only file that names deadpool. SQL itself stands beside the type it serves, first line a comment with the function's
//! name. No connection is held across a network call.

mod listen;
mod lost;
mod migrate;

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use deadpool_postgres::{ConfigConnectImpl, Manager, ManagerConfig, Pool, QueueMode, RecyclingMethod, Runtime};
use jiff::Timestamp;
use listen::Ear;
use lost::Known;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_postgres::NoTls;
use tokio_postgres::types::{ToSql, WrongType};

use crate::config;
use crate::telemetry::families;

pub use deadpool_postgres::{Client, GenericClient, Transaction};
pub use tokio_postgres::Row;

/// Plans of the hot statements are index look-ups by construction; on fresh tables the planner's guesses say otherwise. They are
/// therefore made once a connection: planning joins of partitioned tables anew for every execution cost more than all the rest.
/// And none of them is worth parallel workers: starting two processes to look up one chunk took 20 ms.
const SESSION: &str = "set plan_cache_mode = force_generic_plan; set max_parallel_workers_per_gather = 0; set jit = off; \
                       set enable_hashjoin = off; set enable_mergejoin = off; set enable_seqscan = off; \
                       set timezone = 'UTC'; set statement_timeout = '30s'; set idle_in_transaction_session_timeout = '30s'";

const BY_VALUES: &str = "/* db::rows_planned_by_values */ set local plan_cache_mode = force_custom_plan; \
                         set local enable_hashjoin = on; set local enable_mergejoin = on; set local enable_seqscan = on";

const ALONG_INDEXES: &str = "/* db::rows_along_indexes */ set local enable_sort = off; set local enable_bitmapscan = off; \
                             set local statement_timeout = '2s'";

const WATCHED: &str = "/* db::rows_watched */ set local statement_timeout = '2s'";

/// Why the database did not answer as hoped.
#[derive(Debug, thiserror::Error)]
pub enum DbError {
    /// It is away, starting, full, or has no free connection: try again later.
    #[error("the database is not available")]
    Unavailable(#[source] anyhow::Error),
    /// The statement failed: a defect of ours.
    #[error("a statement failed")]
    Statement(#[source] tokio_postgres::Error),
    /// The schema is not the one this binary was built for.
    #[error("{0}")]
    Schema(String),
    /// A row holds what this program never writes.
    #[error("a stored {0} cannot be read")]
    Stored(&'static str),
    /// What several who asked together were answered.
    #[error(transparent)]
    Shared(Arc<DbError>),
}

impl DbError {
    /// Whether trying again later may help.
    pub fn is_passing(&self) -> bool {
        match self {
            Self::Shared(error) => error.is_passing(),
            other => matches!(other, Self::Unavailable(_)),
        }
    }

    /// Whether the database is there, and what was asked took longer than it may.
    pub fn is_slow(&self) -> bool {
        use tokio_postgres::error::SqlState;
        match self {
            Self::Unavailable(why) => why
                .downcast_ref::<tokio_postgres::Error>()
                .is_some_and(|error| error.code() == Some(&SqlState::QUERY_CANCELED)),
            Self::Shared(error) => error.is_slow(),
            _ => false,
        }
    }
}

impl From<tokio_postgres::Error> for DbError {
    fn from(error: tokio_postgres::Error) -> Self {
        let error = Self::told_apart(error);
        families::DB_ERRORS.one([if error.is_passing() { "unavailable" } else { "statement" }]);
        error
    }
}

impl DbError {
    fn told_apart(error: tokio_postgres::Error) -> Self {
        use tokio_postgres::error::SqlState;
        let Some(state) = error.code() else {
            // No answer of the server: it is away, unless the mistake was found on our side.
            let ours = std::error::Error::source(&error).is_some_and(|source| source.is::<WrongType>());
            return if ours { Self::Statement(error) } else { Self::Unavailable(error.into()) };
        };
        // Class 53 resources, 57 operator intervention (shutdown, starting up, statement_timeout), 08 connection, 40 roll-backs.
        let passing = ["08", "40", "53", "57"].iter().any(|class| state.code().starts_with(class));
        if passing && *state != SqlState::DATABASE_DROPPED {
            Self::Unavailable(error.into())
        } else {
            Self::Statement(error)
        }
    }
}

/// A pool of connections; cheap to clone.
#[derive(Clone)]
pub struct Db {
    pool: Arc<Pool>,
    looks: Arc<Semaphore>,
    ear: Arc<Ear>,
}

impl Db {
    /// Prepares the pool; connects at first use.
    pub fn new(settings: &config::Database) -> Result<Self, DbError> {
        let mut postgres = parse_url(settings)?;
        postgres.connect_timeout(Duration::from_secs(5)).keepalives_idle(Duration::from_secs(5));
        // A network that loses everything: the kernel gives up in seconds instead of a quarter of an hour.
        postgres
            .keepalives_interval(Duration::from_secs(2))
            .keepalives_retries(3)
            .tcp_user_timeout(Duration::from_secs(10));
        postgres.application_name("handfast");
        let recycling = ManagerConfig { recycling_method: RecyclingMethod::Fast };
        let (dial, watch, ear) = if postgres.get_ssl_mode() == tokio_postgres::config::SslMode::Disable {
            let (dial, watch) = Known::new(ConfigConnectImpl { tls: NoTls }, &postgres);
            (dial, watch, Ear::new(&postgres, None))
        } else {
            let tls = crate::tls::client_config(None).map_err(|e| DbError::Schema(e.to_string()))?;
            let tls = tokio_postgres_rustls::MakeRustlsConnect::new(tls);
            let (dial, watch) = Known::new(ConfigConnectImpl { tls: tls.clone() }, &postgres);
            (dial, watch, Ear::new(&postgres, Some(tls)))
        };
        let wait = Some(settings.wait.duration());
        let pool = Pool::builder(Manager::from_connect(postgres, dial, recycling))
            .max_size(settings.pool)
            .runtime(Runtime::Tokio1)
            // The connection used last has its plans and pages at hand; taking turns, each would find them cold.
            .queue_mode(QueueMode::Lifo)
            .timeouts(deadpool_postgres::Timeouts { wait, create: wait, recycle: wait })
            .post_create(watch.hook(SESSION))
            .pre_recycle(watch.gate())
            .build()
            .map_err(|e| DbError::Schema(e.to_string()))?;
        let pool = Arc::new(pool);
        watch.start(&pool);
        let looks = Arc::new(Semaphore::new((settings.pool / 8).max(1)));
        Ok(Self { pool, looks, ear: Arc::new(ear) })
    }

    /// Room for a look that may take seconds, such as a count: only one connection in eight is for those, so that they never keep
    /// back what is in a hurry. `None`: others took all the room for as long as `patience`.
    pub async fn room_to_look(&self, patience: Duration) -> Option<OwnedSemaphorePermit> {
        let room = Arc::clone(&self.looks).acquire_owned();
        tokio::time::timeout(patience, room).await.ok()?.ok()
    }

    /// A connection of the pool; waits at most `database.wait`.
    pub async fn client(&self) -> Result<Client, DbError> {
        self.pool.get().await.map_err(|e| {
            families::DB_ERRORS.one(["unavailable"]);
            DbError::Unavailable(e.into())
        })
    }

    /// Shows the pool as it is now, in the metrics.
    pub fn show(&self) {
        let status = self.pool.status();
        families::DB_CONNECTIONS.set(["idle"], status.available as f64);
        families::DB_CONNECTIONS.set(["busy"], status.size.saturating_sub(status.available) as f64);
        families::DB_CONNECTIONS_MOST.set([], status.max_size as f64);
        families::DB_WAITING.set([], status.waiting as f64);
    }

    /// All rows of one statement, prepared once a connection; the connection goes back at once.
    pub async fn rows(&self, sql: &str, parameters: &[&(dyn ToSql + Sync)]) -> Result<Vec<Row>, DbError> {
        let client = self.client().await?;
        let statement = client.prepare_cached(sql).await?;
        Ok(client.query(&statement, parameters).await?)
    }

    /// All rows of one statement whose best plan hangs on the values (filters that may be left out) and that may read much.
    pub async fn rows_planned_by_values(
        &self,
        sql: &str,
        parameters: &[&(dyn ToSql + Sync)],
    ) -> Result<Vec<Row>, DbError> {
        let mut client = self.client().await?;
        let transaction = client.transaction().await?;
        transaction.batch_execute(BY_VALUES).await?;
        let rows = transaction.query(sql, parameters).await?;
        transaction.commit().await?;
        Ok(rows)
    }

    /// All rows of one statement that reads the beginnings of indexes, for those who only watch: broken off after two seconds. A plan
    /// that was made while the tables were empty would gather and sort all that is there before it takes the first: so it is planned
    /// without these two ways, each time.
    pub async fn rows_along_indexes(&self, sql: &str, parameters: &[&(dyn ToSql + Sync)]) -> Result<Vec<Row>, DbError> {
        let mut client = self.client().await?;
        let transaction = client.transaction().await?;
        transaction.batch_execute(ALONG_INDEXES).await?;
        let rows = transaction.query(sql, parameters).await?;
        transaction.commit().await?;
        Ok(rows)
    }

    /// All rows of one statement, for those who only watch: broken off after two seconds, because a connection that it holds is one
    /// that the node's work has not.
    pub async fn rows_watched(&self, sql: &str, parameters: &[&(dyn ToSql + Sync)]) -> Result<Vec<Row>, DbError> {
        let mut client = self.client().await?;
        let transaction = client.transaction().await?;
        transaction.batch_execute(WATCHED).await?;
        let statement = transaction.prepare_cached(sql).await?;
        let rows = transaction.query(&statement, parameters).await?;
        transaction.commit().await?;
        Ok(rows)
    }

    /// The only row of one statement, if there is one.
    pub async fn row(&self, sql: &str, parameters: &[&(dyn ToSql + Sync)]) -> Result<Option<Row>, DbError> {
        let client = self.client().await?;
        let statement = client.prepare_cached(sql).await?;
        Ok(client.query_opt(&statement, parameters).await?)
    }

    /// Runs one statement; returns how many rows it changed.
    pub async fn execute(&self, sql: &str, parameters: &[&(dyn ToSql + Sync)]) -> Result<u64, DbError> {
        let client = self.client().await?;
        let statement = client.prepare_cached(sql).await?;
        Ok(client.execute(&statement, parameters).await?)
    }

    /// Listens on a channel over a connection of its own, until that is lost: `heard` is called without anything when listening has
    /// begun, and then with what each notification says. Nothing is sure to arrive: who listens also looks by itself now and then.
    ///
    /// # Errors
    /// Always, in the end: why there is no connection, or no more.
    pub async fn listen(&self, channel: &str, heard: impl FnMut(Option<&str>) + Send) -> Result<Infallible, DbError> {
        self.ear.listen(channel, heard).await
    }

    /// The database's clock.
    pub async fn now(&self) -> Result<Timestamp, DbError> {
        Ok(self.now_and_how_long_it_took().await?.0)
    }

    /// The same, with how long the question was under way: the answer is at the most so old. Waiting for a connection, which
    /// says nothing about the clock, is not part of it.
    pub async fn now_and_how_long_it_took(&self) -> Result<(Timestamp, Duration), DbError> {
        let client = self.client().await?;
        let statement = client.prepare_cached("/* db::now */ select clock_timestamp()").await?;
        let asked = std::time::Instant::now();
        let row = client.query_one(&statement, &[]).await?;
        Ok((row.get(0), asked.elapsed()))
    }

    /// Brings the schema up to this binary's; returns how many migrations ran. A table that is in use is waited for in steps, so that
    /// nobody waits behind this for long.
    ///
    /// # Errors
    /// [`DbError::Schema`], also when a table was in use all the time: what ran stays, and asking again goes on from there.
    pub async fn migrate(&self) -> Result<usize, DbError> {
        migrate::run(&mut *self.client().await?).await
    }

    /// Refuses a schema this binary does not know.
    pub async fn check_schema(&self) -> Result<(), DbError> {
        let mine = migrate::newest();
        let client = self.client().await?;
        let theirs =
            client.query_one("/* db::check_schema */ select max(version) from refinery_schema_history", &[]).await;
        let theirs: Option<i32> = match theirs {
            Ok(row) => row.get(0),
            Err(e) if e.code() == Some(&tokio_postgres::error::SqlState::UNDEFINED_TABLE) => None,
            Err(e) => return Err(e.into()),
        };
        match (theirs, mine) {
            (None, _) => Err(DbError::Schema("the database has no schema yet: run `handfast migrate`".into())),
            (theirs, mine) if theirs < mine => Err(DbError::Schema(format!(
                "the database's schema is of version {}, this program needs {}: run `handfast migrate`",
                theirs.unwrap_or_default(),
                mine.unwrap_or_default()
            ))),
            (theirs, mine) if theirs > mine => Err(DbError::Schema(format!(
                "the database's schema is of version {}, newer than the {} this program knows: upgrade the program",
                theirs.unwrap_or_default(),
                mine.unwrap_or_default()
            ))),
            _ => Ok(()),
        }
    }
}

fn parse_url(settings: &config::Database) -> Result<tokio_postgres::Config, DbError> {
    if settings.url.is_empty() {
        return Err(DbError::Schema("database.url is not set (`handfast up` brings a database of its own)".into()));
    }
    // The parser's error would quote the URL, and with it the password.
    settings.url.reveal().parse().map_err(|_| DbError::Schema("database.url is not a PostgreSQL URL".into()))
}
