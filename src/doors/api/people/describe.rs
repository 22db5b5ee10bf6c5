//! What the endpoints of people who sign in to the mailbox say about themselves.

use super::super::describe::{Operation, Schemas, cast, kinds, must, shape};
use super::super::problem::Kind;

fn named(operation: Operation) -> Operation {
    operation.path("address", kinds::our_address())
}

const NEEDS: &str = "Whoever lets somebody in could go in as well: the key also needs the scopes `passcodes`, `connections`, `messages` and `inbox`.";

pub(in super::super) fn set_password(_: &mut Schemas) -> Operation {
    let password = shape::text(10, 1024).eg("correct horse battery");
    named(Operation::new("Set somebody's password for the mailbox"))
        .about(NEEDS)
        .takes(shape::request([must("password", password.about("Not one of the obvious ones"))]))
        .answers_nothing("Set; all sessions of the account have ended")
}

pub(in super::super) fn take_password(_: &mut Schemas) -> Operation {
    named(Operation::new("Let nobody sign in to an account any more")).about(NEEDS).answers_nothing("Taken")
}

pub(in super::super) fn invite(_: &mut Schemas) -> Operation {
    let invitation = shape::answer([
        must("address", shape::any_text().eg(cast::ACCOUNT)),
        must("url", kinds::url().eg("https://our.example/me/invite/xyzzy").about("Shown this once")),
        must("expires_at", kinds::moment()),
    ]);
    named(Operation::new("Invite somebody to set the password"))
        .about(NEEDS)
        .answers(201, "A link that is good once", invitation)
        .refuses(&[Kind::Conflict])
}

pub(in super::super) fn sign_out(_: &mut Schemas) -> Operation {
    named(Operation::new("End all sessions of an account in the mailbox")).answers(
        200,
        "How many",
        shape::answer([must("ended", shape::count())]),
    )
}
