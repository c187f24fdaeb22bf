//! Tokens, and who the one is that a request shows.

use axum::Json;
use enginehouse_api::{
    CreatedToken, ErrorCode, Problem, RotatedToken, Token as View, TokenList, TokenRequest, WhoAmI,
};
use enginehouse_audit::Action;
use enginehouse_model::Timestamp;
use enginehouse_store::{Table, Write};
use enginehouse_tree::{Permission, Subject, SubjectError};

use crate::access::{Caller, NewToken, Revoked, TOKEN_VERSION, TokenId};
use crate::audit::Note;
use crate::continuous::RECONCILER;
use crate::hold::Hold;
use crate::house::{Staged, State};
use crate::rest::answer::{Answer, Body, InPath};

/// Longest note, characters.
const NOTE_MAX: usize = 500;
/// Longest time until a token expires: ten years.
const EXPIRES_MAX_S: u64 = 10 * 366 * 24 * 60 * 60;

pub(crate) async fn whoami(caller: Caller) -> Answer<Json<WhoAmI>> {
    let house = caller.house();
    let now = house.now();
    let state = house.state.lock();
    let token = caller.token().and_then(|id| {
        let token = state.tokens.get(id)?;
        Some(token.view(id, now))
    });
    let who = caller.who();
    let mut grants = Vec::new();
    if caller.subject().is_installation() {
        let (root, admin) = (state.tree.root(), enginehouse_tree::Role::Admin);
        grants.extend(super::grants::grant(&state, root, who, admin));
    }
    for node in state.tree.granted_to(caller.subject()) {
        let Ok(written) = state.tree.grants_on(node) else {
            continue;
        };
        let roles = written.get(caller.subject()).into_iter().flatten();
        grants.extend(roles.filter_map(|role| super::grants::grant(&state, node, who, *role)));
    }
    grants.sort();
    Ok(Json(WhoAmI {
        subject: who.to_owned(),
        installation: house.installation,
        token,
        grants,
        on_hold: state.hold.as_ref().map(Hold::view),
    }))
}

pub(crate) async fn list(caller: Caller) -> Json<TokenList> {
    let now = caller.house().now();
    let state = caller.house().state.lock();
    let all = governs_all(&caller, &state);
    let mut tokens: Vec<View> = state
        .tokens
        .iter()
        .filter(|(_, token)| all || token.subject == *caller.subject())
        .map(|(id, token)| token.view(id, now))
        .collect();
    tokens
        .sort_by(|a, b| (&a.subject, a.created_at, &a.id).cmp(&(&b.subject, b.created_at, &b.id)));
    Json(TokenList { tokens })
}

fn governs_all(caller: &Caller, state: &State) -> bool {
    caller.may(state, state.tree.root(), Permission::Govern)
}

pub(crate) async fn create(
    caller: Caller,
    Body(request): Body<TokenRequest>,
) -> Answer<Json<CreatedToken>> {
    let house = caller.house();
    caller.must_govern_all(&house.state.lock())?;
    let (subject, note, lifetime_ms) = read(request)?;
    let now = house.now();
    let expires_at = lifetime_ms.map(|lifetime| Timestamp(now.0.saturating_add(lifetime)));
    let new = NewToken::make(subject, caller.who(), now, expires_at, note).map_err(|error| {
        Problem::new(
            ErrorCode::Internal,
            format!("the system gives no random numbers: {error}"),
        )
    })?;
    let (id, token) = (new.id, new.token);
    let info = token.view(&id, now);
    house
        .transact(|state, staged, now| {
            // Asked again: what was so before this lock may not be so under it.
            caller.must_govern_all(state)?;
            if state.tokens.contains_key(&id) {
                return Err(Problem::new(
                    ErrorCode::Busy,
                    "the id that was drawn for the token is taken",
                )
                .with_hint("try again"));
            }
            forget_old(state, staged, now);
            staged.put(Table::Token, id.to_string(), TOKEN_VERSION, &token);
            let mut note = Note::new(Action::TokenCreated, caller.who())
                .with("token", &id)
                .with("subject", &token.subject);
            if let Some(end) = token.expires_at {
                note = note.with("expires_at", end.0);
            }
            staged.audit.push(note);
            state.tokens.insert(id.clone(), token);
            Ok(())
        })
        .await?;
    tracing::info!(token = %info.id, subject = %info.subject, by = %info.created_by, "a token was made");
    Ok(Json(CreatedToken {
        token: new.text.as_str().to_owned(),
        info,
    }))
}

fn read(request: TokenRequest) -> Result<(Subject, Option<String>, Option<u64>), Problem> {
    let subject: Subject = request
        .subject
        .parse()
        .map_err(|error: SubjectError| Problem::new(ErrorCode::Invalid, error.to_string()))?;
    if request.subject == RECONCILER {
        let problem = Problem::new(
            ErrorCode::Invalid,
            format!("`{RECONCILER}` is who orders what the host does by itself"),
        );
        return Err(problem.with_hint("choose another name"));
    }
    let note = request.note.map(|note| note.trim().to_owned());
    let note = note.filter(|note| !note.is_empty());
    if let Some(note) = &note
        && (note.chars().count() > NOTE_MAX || note.chars().any(char::is_control))
    {
        return Err(Problem::new(
            ErrorCode::Invalid,
            format!("a note is one line of at most {NOTE_MAX} characters"),
        ));
    }
    match request.expires_in_s {
        Some(seconds) if !(1..=EXPIRES_MAX_S).contains(&seconds) => Err(Problem::new(
            ErrorCode::Invalid,
            format!("`expires_in_s` is between 1 and {EXPIRES_MAX_S} seconds (ten years)"),
        )
        .with_hint("leave it out for a token that is good until it is revoked")),
        lifetime => Ok((subject, note, lifetime.map(|seconds| seconds * 1000))),
    }
}

/// Drops tokens that ended so long ago that nobody asks.
fn forget_old(state: &mut State, staged: &mut Staged, now: Timestamp) {
    state.tokens.retain(|id, token| {
        let forgotten = token.is_forgotten(now);
        if forgotten {
            staged.writes.push(Write::Delete {
                table: Table::Token,
                key: id.to_string(),
            });
        }
        !forgotten
    });
}

/// A token that was revoked before stays as it is.
pub(crate) async fn revoke(caller: Caller, InPath(id): InPath<String>) -> Answer<Json<View>> {
    let missing = || {
        // Not repeated: somebody may have put the token itself here.
        Problem::new(ErrorCode::NotFound, "there is no token with that id")
            .with_hint("`enginehouse token list` shows the ids; in a token it stands after `eh_`")
    };
    let id: TokenId = id.parse().map_err(|()| missing())?;
    let revoked = caller
        .house()
        .transact(|state, staged, now| {
            let all = governs_all(&caller, state);
            let token = state
                .tokens
                .get_mut(&id)
                .filter(|token| all || token.subject == *caller.subject())
                .ok_or_else(missing)?;
            if token.revoked.is_none() {
                token.revoked = Some(Revoked {
                    at: now,
                    by: caller.who().to_owned(),
                });
                staged.put(Table::Token, id.to_string(), TOKEN_VERSION, token);
                let note = Note::new(Action::TokenRevoked, caller.who());
                let note = note.with("token", &id).with("subject", &token.subject);
                staged.audit.push(note);
            }
            Ok(token.view(&id, now))
        })
        .await?;
    tracing::info!(token = %id, subject = %revoked.subject, by = %caller.subject(), "a token was revoked");
    Ok(Json(revoked))
}

/// Puts a new token of the installation into its file. The old one is good until the file is there.
pub(crate) async fn rotate(caller: Caller) -> Answer<Json<RotatedToken>> {
    let house = caller.house();
    caller.must_govern_all(&house.state.lock())?;
    // First, since the file is not part of a commit: an exchange that nobody knows of must not be.
    house
        .transact(|state, staged, _| {
            caller.must_govern_all(state)?;
            staged
                .audit
                .push(Note::new(Action::TokenRotated, caller.who()));
            Ok(())
        })
        .await?;
    // Two at once: the one in the file must be the one that is good.
    let mut installation = house.installation_token.lock();
    let token = crate::token_file::make(&house.config.data_dir).map_err(|error| {
        Problem::new(ErrorCode::Internal, crate::problem::with_sources(&error))
            .with_hint("the token that was there is still good")
    })?;
    *installation = token.hash();
    drop(installation);
    tracing::info!(by = %caller.subject(), "the installation's token was exchanged");
    Ok(Json(RotatedToken {
        file: crate::token_file::path(&house.config.data_dir)
            .display()
            .to_string(),
    }))
}
