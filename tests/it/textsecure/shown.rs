//! Many replies that must be the same, as one snapshot.

use super::scene::shown;
use crate::peers::Reply;

/// The one text that all these replies are shown as. Of how long to wait, only that it is right to a minute: the clock goes on
/// between the requests.
#[track_caller]
pub(crate) fn all_shown(replies: &[Reply]) -> String {
    let texts: Vec<String> = replies.iter().map(|reply| about(reply, &shown(reply))).collect();
    let first = texts.first().expect("at least one reply");
    for (n, text) in texts.iter().enumerate() {
        assert_eq!(text, first, "reply {n} is not like the first one");
    }
    first.clone()
}

fn about(reply: &Reply, text: &str) -> String {
    let Some(after) = reply.header("retry-after") else { return text.to_owned() };
    let minutes = after.parse::<u64>().expect("seconds").div_ceil(60);
    text.replace(&format!("retry-after: {after}"), &format!("retry-after: ABOUT {minutes} MINUTES"))
}
