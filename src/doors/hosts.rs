//! Doors that are open under some host names only.

use warp::filters::BoxedFilter;
use warp::host::Authority;
use warp::reply::Response;
use warp::{Filter, Rejection};

/// A door under these names only (none: under all but `other`, which are another door's). Elsewhere its paths are the next door's.
pub(super) fn on_hosts(
    routes: BoxedFilter<(Response,)>,
    hosts: &[String],
    other: &[String],
) -> BoxedFilter<(Response,)> {
    let (hosts, other) = (hosts.to_vec(), other.to_vec());
    if hosts.is_empty() && other.is_empty() {
        return routes;
    }
    let named = warp::host::optional().and_then(move |host: Option<Authority>| {
        let host = host.map(|host| host.host().to_ascii_lowercase()).unwrap_or_default();
        let here = if hosts.is_empty() { !other.contains(&host) } else { hosts.contains(&host) };
        std::future::ready(if here { Ok::<(), Rejection>(()) } else { Err(warp::reject::not_found()) })
    });
    named.untuple_one().and(routes).boxed()
}

#[cfg(test)]
mod tests {
    use super::*;
    use http_body_util::Empty;
    use tower_service::Service;
    use warp::Reply;

    async fn answer(host: &str, hosts: &[&str], other: &[&str]) -> u16 {
        let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        let door = on_hosts(warp::any().map(|| "here".into_response()).boxed(), &names(hosts), &names(other));
        let next = warp::any().map(|| http::StatusCode::IM_A_TEAPOT.into_response());
        let routes = door.or(next).unify();
        let request = http::Request::get("/").header("host", host).body(Empty::<bytes::Bytes>::new()).unwrap();
        warp::service(routes).call(request).await.unwrap().status().as_u16()
    }

    #[tokio::test]
    async fn a_door_is_open_under_its_own_names() {
        assert_eq!(answer("any.example", &[], &[]).await, 200);
        assert_eq!(answer("Shop.example:8443", &["shop.example"], &[]).await, 200);
        assert_eq!(answer("hub.example", &["shop.example"], &[]).await, 418);
        assert_eq!(answer("hub.example", &[], &["hub.example"]).await, 418);
        assert_eq!(answer("shop.example", &[], &["hub.example"]).await, 200);
    }
}
