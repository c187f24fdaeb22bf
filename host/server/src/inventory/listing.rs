//! One list of a hypervisor, page by page.

use std::sync::Arc;
use std::time::Duration;

use enginehouse_documents::{Code, Coverage, Problem};
use enginehouse_engines::{Clock, Connection, Engine, Failure, Observer, Occasion};
use enginehouse_model::Timestamp;
use enginehouse_reconcile::inventory::Shown;

/// Time for one page.
const PAGE_DEADLINE: Duration = Duration::from_secs(120);
/// Pages of one list: more is an engine that goes round in circles.
const PAGES_MAX: usize = 10_000;

/// What the pages of one list have shown.
#[derive(Debug)]
pub(super) struct Listed {
    pub began_at: Timestamp,
    pub shown: Vec<Shown>,
    pub coverage: Coverage,
}

/// Asks for all pages. A page that fails ends it: part of a list is none.
pub(super) async fn list(
    engine: &Engine,
    connection: &Arc<Connection>,
    clock: &Clock,
    observer: &Arc<dyn Observer>,
) -> Result<Listed, Problem> {
    let mut listed = Listed {
        began_at: clock.now(),
        shown: Vec::new(),
        coverage: Coverage::default(),
    };
    let mut cursor: Option<String> = None;
    let mut begun_again = false;
    for _ in 0..PAGES_MAX {
        let occasion = Occasion::reading(PAGE_DEADLINE, Arc::clone(observer));
        let page = match engine.list(occasion, connection, cursor.as_deref()).await {
            Ok(page) => page,
            Err(error) => match error.failure {
                // The cursor died with its session: from the beginning, once.
                Failure::Problem(problem)
                    if problem.code == Code::Conflict && cursor.is_some() && !begun_again =>
                {
                    begun_again = true;
                    cursor = None;
                    listed.shown.clear();
                    listed.began_at = clock.now();
                    continue;
                }
                _ => return Err(error.problem()),
            },
        };
        listed.shown.extend(page.machines.iter().map(Shown::of));
        listed.coverage = page.coverage;
        match page.next {
            Some(next) => cursor = Some(next),
            None => return Ok(listed),
        }
    }
    Err(Problem::new(
        Code::Provider,
        format!("the list of machines did not end after {PAGES_MAX} pages"),
    ))
}
