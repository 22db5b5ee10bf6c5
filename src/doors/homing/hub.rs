//! The hub.

mod pages;

use warp::filters::BoxedFilter;
use warp::reply::Response;

use super::super::Serve;

pub(in crate::doors) fn routes(serve: &Serve) -> BoxedFilter<(Response,)> {
    pages::routes(&serve.app)
}
