//! The terminal: keys in, pictures out. Whatever happens, the terminal is given back as it was.

use std::io;
use std::time::Duration;

use ratatui::DefaultTerminal;
use ratatui::crossterm::event::{self, Event, KeyCode, KeyEvent, KeyEventKind, KeyModifiers};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::model::{Picture, Rows};
use super::view::{Shown, draw};
use super::{View, look, waited};
use crate::cli::target::Session;
use crate::cli::{Failure, stop_on_signal};

/// How often it is looked whether a key was pressed.
const GLANCE: Duration = Duration::from_millis(50);
/// Rows that a Page key moves.
const PAGE: u16 = 10;

/// What a key does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Act {
    Show(View),
    NextView,
    PreviousView,
    Hold,
    Sort,
    TurnRound,
    Scroll(i32),
    Redraw,
    Quit,
}

/// Shows the node until somebody ends it.
pub(super) async fn run(session: &Session, view: View, every: Duration) -> Result<(), Failure> {
    // Before the screen is taken: a refusal is read as text.
    let first = look(&session.client, view).await?;
    let mut terminal = ratatui::try_init()?;
    let done = show(&mut terminal, session, view, every, first).await;
    ratatui::restore();
    done
}

async fn show(
    terminal: &mut DefaultTerminal,
    session: &Session,
    view: View,
    every: Duration,
    first: Picture,
) -> Result<(), Failure> {
    let stop = stop_on_signal();
    let mut acts = keys(stop.clone());
    let (mut picture, mut shown) = (first, Shown { view: Some(view), ..Shown::default() });
    let mut fresh = true;
    loop {
        terminal.draw(|frame| draw(frame, &picture, &mut shown))?;
        let look_again = async {
            if fresh {
                waited(&stop, every).await;
            }
            if shown.held { std::future::pending().await } else { look(&session.client, shown.view()).await }
        };
        tokio::select! {
            looked = look_again => {
                fresh = true;
                match looked {
                    Ok(new) => (picture, shown.trouble) = (new, None),
                    Err(error) => shown.trouble = Some(error.to_string()),
                }
            }
            act = acts.recv() => match act {
                None | Some(Act::Quit) => break,
                Some(act) if carry_out(act, &mut shown, &picture) => {
                    // What was looked at for the view before is not shown under the name of this one.
                    (fresh, picture.rows) = (false, Rows::default());
                }
                Some(_) => {}
            },
            () = stop.cancelled() => break,
        }
    }
    stop.cancel();
    Ok(())
}

/// Changes what is shown; whether something else must be asked for at once.
fn carry_out(act: Act, shown: &mut Shown, picture: &Picture) -> bool {
    let before = shown.view();
    match act {
        Act::Show(view) => shown.view = Some(view),
        Act::NextView => shown.view = Some(before.next(1)),
        Act::PreviousView => shown.view = Some(before.next(View::ALL.len() - 1)),
        Act::Hold => shown.held = !shown.held,
        Act::Sort => {
            let columns = picture.rows.titles.len();
            shown.sort = shown.sort.map_or(Some(0), |column| Some(column + 1)).filter(|column| *column < columns);
        }
        Act::TurnRound => shown.reverse = !shown.reverse,
        Act::Scroll(rows) if rows < 0 => shown.table.scroll_up_by(rows.unsigned_abs() as u16),
        Act::Scroll(rows) => shown.table.scroll_down_by(rows.unsigned_abs() as u16),
        Act::Redraw | Act::Quit => {}
    }
    let changed = shown.view() != before;
    if changed {
        // Another table has other columns; and what is held is the picture of the view before.
        (shown.sort, shown.held) = (None, false);
        shown.table = Default::default();
    }
    changed
}

/// Reads keys on a thread of its own: the terminal can only be waited for by blocking.
fn keys(stop: CancellationToken) -> mpsc::Receiver<Act> {
    let (sender, receiver) = mpsc::channel(16);
    std::thread::spawn(move || {
        while !stop.is_cancelled() {
            match next() {
                Ok(Some(act)) if sender.blocking_send(act).is_err() => return,
                Ok(_) => {}
                // The terminal is gone.
                Err(_) => return,
            }
        }
    });
    receiver
}

fn next() -> io::Result<Option<Act>> {
    if !event::poll(GLANCE)? {
        return Ok(None);
    }
    Ok(match event::read()? {
        Event::Key(key) if key.kind == KeyEventKind::Press => act(key),
        Event::Resize(..) => Some(Act::Redraw),
        _ => None,
    })
}

fn act(key: KeyEvent) -> Option<Act> {
    Some(match key.code {
        KeyCode::Char('c' | 'd') if key.modifiers.contains(KeyModifiers::CONTROL) => Act::Quit,
        KeyCode::Char('q') | KeyCode::Esc => Act::Quit,
        KeyCode::Char(digit @ '1'..='4') => Act::Show(View::ALL[digit as usize - '1' as usize]),
        KeyCode::Tab | KeyCode::Right => Act::NextView,
        KeyCode::BackTab | KeyCode::Left => Act::PreviousView,
        KeyCode::Char(' ' | 'p') => Act::Hold,
        KeyCode::Char('s') => Act::Sort,
        KeyCode::Char('r') => Act::TurnRound,
        KeyCode::Down | KeyCode::Char('j') => Act::Scroll(1),
        KeyCode::Up | KeyCode::Char('k') => Act::Scroll(-1),
        KeyCode::PageDown => Act::Scroll(PAGE.into()),
        KeyCode::PageUp => Act::Scroll(-i32::from(PAGE)),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::top::model::tests::example;

    fn pressed(code: KeyCode) -> Option<Act> {
        act(KeyEvent::new(code, KeyModifiers::NONE))
    }

    #[test]
    fn keys_do_what_the_foot_says() {
        for (code, does) in [
            (KeyCode::Char('2'), Some(Act::Show(View::Destinations))),
            (KeyCode::Char('4'), Some(Act::Show(View::Workers))),
            (KeyCode::Char('5'), None),
            (KeyCode::Tab, Some(Act::NextView)),
            (KeyCode::Char(' '), Some(Act::Hold)),
            (KeyCode::Char('q'), Some(Act::Quit)),
            (KeyCode::PageUp, Some(Act::Scroll(-10))),
        ] {
            assert_eq!(pressed(code), does, "{code:?}");
        }
        assert_eq!(act(KeyEvent::new(KeyCode::Char('c'), KeyModifiers::CONTROL)), Some(Act::Quit));
    }

    #[test]
    fn another_view_is_asked_for_at_once_and_sorting_goes_through_the_columns() {
        let overview = example();
        let picture = Picture { rows: overview.worker_rows(), overview };
        let mut shown = Shown { held: true, ..Shown::default() };
        assert!(carry_out(Act::PreviousView, &mut shown, &picture));
        assert_eq!((shown.view(), shown.held), (View::Workers, false));
        let columns: Vec<Option<usize>> = (0..7)
            .map(|_| {
                assert!(!carry_out(Act::Sort, &mut shown, &picture));
                shown.sort
            })
            .collect();
        assert_eq!(columns, [Some(0), Some(1), Some(2), Some(3), Some(4), Some(5), None]);
    }
}
