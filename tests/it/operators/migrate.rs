//! The schema is changed while tables are in use.

use std::time::Duration;

use handfast::db::Db;

use crate::support::fresh_app;

/// As the schema was before the messages had a trace.
const BACK: &str = "alter table messages drop column trace; drop index destinations_unwell;
drop table activity, mailbox_sessions, mailbox_users; delete from refinery_schema_history where version >= 8";

#[tokio::test]
async fn a_change_of_a_table_that_is_being_dumped_keeps_nobody_waiting_and_is_made_afterwards() {
    let app = fresh_app().await;
    app.db.client().await.expect("a connection").batch_execute(BACK).await.expect("an older schema");
    let dump = Db::new(&app.config.database).expect("a pool").client().await.expect("a connection");
    dump.batch_execute("begin; lock table messages in access share mode").await.expect("as pg_dump does");
    let migrating = tokio::spawn({
        let db = app.db.clone();
        async move { db.migrate().await }
    });
    let client = app.db.client().await.expect("a connection");
    let waits = async || {
        let sql = "select exists (select from pg_locks l join pg_database d on d.oid = l.database
                   where d.datname = current_database() and l.locktype = 'relation' and not l.granted)";
        client.query_one(sql, &[]).await.expect("a look").get::<_, bool>(0)
    };
    while !waits().await {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    // Whoever comes later waits behind it for two seconds at the most.
    client.batch_execute("set statement_timeout = '10s'").await.expect("set");
    client.execute("update messages set tag = tag where false", &[]).await.expect("the node goes on");
    assert!(!waits().await, "it has stepped back");
    assert!(!migrating.is_finished(), "and comes again");
    dump.batch_execute("commit").await.expect("the end");
    assert_eq!(migrating.await.expect("no panic").expect("migrated"), 2);
    app.db.check_schema().await.expect("this program's");
}
