//! Which builds are taken before one that waits, and when it begins: the turns that the database will give, played
//! forward with how long builds took before. Pure.

/// Applications that have builds waiting or running, in their teams.
#[derive(Debug, Clone, Default)]
pub(super) struct Round {
    pub(super) teams: Vec<Team>,
    /// Where the youngest turn of any team began.
    pub(super) clock: f64,
    pub(super) running: Vec<Running>,
}

#[derive(Debug, Clone)]
pub(super) struct Team {
    pub(super) name: String,
    pub(super) limit: Option<usize>,
    pub(super) turn: Turn,
    /// Where the youngest turn of any of its applications began.
    pub(super) clock: f64,
    pub(super) apps: Vec<App>,
}

#[derive(Debug, Clone)]
pub(super) struct App {
    pub(super) limit: usize,
    pub(super) turn: Turn,
    pub(super) waiting: usize,
    pub(super) running: usize,
    /// How long a build of it takes, in seconds.
    pub(super) takes: f64,
}

/// What somebody has had, by weight, and since when it waits for more.
#[derive(Debug, Clone, Copy)]
pub(super) struct Turn {
    pub(super) weight: f64,
    pub(super) served: f64,
    pub(super) served_at: f64,
}

/// An application by its team and its place there.
pub(super) type Place = (usize, usize);

#[derive(Debug, Clone, Copy)]
pub(super) struct Running {
    pub(super) of: Place,
    /// In so many seconds from now.
    pub(super) ends: f64,
}

/// What comes before a build.
#[derive(Debug, PartialEq)]
pub(super) struct Ahead {
    /// Whose builds are taken before it, one entry each.
    pub(super) taken: Vec<Place>,
    /// Seconds until it begins.
    pub(super) starts_in: f64,
}

impl Team {
    fn is_full(&self) -> bool {
        let running: usize = self.apps.iter().map(|app| app.running).sum();
        self.limit.is_some_and(|limit| running >= limit)
    }
}

impl App {
    fn can_begin(&self) -> bool {
        self.waiting > 0 && self.running < self.limit
    }
}

/// As `claim_builds` in the database: the team that had least, then its application that had least.
fn next(teams: &[Team]) -> Option<Place> {
    let least = |turn: &Turn, other: &Turn| {
        turn.served.total_cmp(&other.served).then(turn.served_at.total_cmp(&other.served_at))
    };
    let open = teams.iter().enumerate().filter(|(_, team)| !team.is_full());
    let open = open.filter(|(_, team)| team.apps.iter().any(App::can_begin));
    let (of_team, team) = open.min_by(|(_, a), (_, b)| least(&a.turn, &b.turn))?;
    let apps = team.apps.iter().enumerate().filter(|(_, app)| app.can_begin());
    let (of_app, _) = apps.min_by(|(_, a), (_, b)| least(&a.turn, &b.turn))?;
    Some((of_team, of_app))
}

/// As `claim_builds` in the database.
fn take(round: &mut Round, (of_team, of_app): Place, order: f64) {
    let team = &mut round.teams[of_team];
    let app = &mut team.apps[of_app];
    (app.waiting, app.running) = (app.waiting - 1, app.running + 1);
    let began = app.turn.served.max(team.clock);
    team.clock = team.clock.max(app.turn.served);
    app.turn = Turn { served: began + 1.0 / app.turn.weight, served_at: order, ..app.turn };
    let began = team.turn.served.max(round.clock);
    round.clock = began;
    team.turn = Turn { served: began + 1.0 / team.turn.weight, served_at: order, ..team.turn };
}

/// Plays until the build before which `before` others of its application wait is taken. As many run at a time as run now:
/// how many builders there are shows in that. `None`: it is never taken.
pub(super) fn play(mut round: Round, own: Place, before: usize, now: f64) -> Option<Ahead> {
    let slots = round.running.len().max(1);
    let (mut clock, mut taken, mut own_before) = (0.0, Vec::new(), before);
    loop {
        while round.running.len() < slots
            && let Some(of) = next(&round.teams)
        {
            if of == own && own_before == 0 {
                return Some(Ahead { taken, starts_in: clock });
            }
            own_before -= usize::from(of == own);
            taken.push(of);
            // Later than all that was, in the order in which they are taken.
            take(&mut round, of, now + taken.len() as f64);
            let ends = clock + round.teams[of.0].apps[of.1].takes;
            round.running.push(Running { of, ends });
        }
        let first = (0..round.running.len())
            .min_by(|a, b| round.running[*a].ends.total_cmp(&round.running[*b].ends))?;
        let ended = round.running.swap_remove(first);
        clock = ended.ends.max(clock);
        round.teams[ended.of.0].apps[ended.of.1].running -= 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn app(waiting: usize, takes: f64) -> App {
        let turn = Turn { weight: 1.0, served: 0.0, served_at: 0.0 };
        App { limit: 1, turn, waiting, running: 0, takes }
    }

    fn team(apps: Vec<App>) -> Team {
        let turn = Turn { weight: 1.0, served: 0.0, served_at: 0.0 };
        Team { name: "default".to_owned(), limit: None, turn, clock: 0.0, apps }
    }

    /// One that runs for `ends` seconds more, and was charged when it was taken.
    fn running(round: &mut Round, of: Place, ends: f64) {
        round.teams[of.0].apps[of.1].running += 1;
        round.teams[of.0].apps[of.1].turn.served += 1.0;
        round.teams[of.0].turn.served += 1.0;
        round.running.push(Running { of, ends });
    }

    /// The first team's applications are a and b, the second's c and d.
    fn names(ahead: &Ahead) -> String {
        ahead.taken.iter().map(|of| ["ab", "cd"][of.0].chars().nth(of.1).unwrap()).collect()
    }

    #[test]
    fn another_application_is_next_after_the_one_that_runs() {
        let mut round = Round { teams: vec![team(vec![app(299, 10.0), app(1, 5.0)])], ..Round::default() };
        running(&mut round, (0, 0), 4.0);
        let ahead = play(round.clone(), (0, 1), 0, 1.0).unwrap();
        assert_eq!(ahead, Ahead { taken: vec![], starts_in: 4.0 });
        let ahead = play(round.clone(), (0, 0), 1, 1.0).unwrap();
        assert_eq!((names(&ahead).as_str(), ahead.starts_in), ("ba", 4.0 + 5.0 + 10.0));
        assert_eq!(play(round, (0, 0), 298, 1.0).unwrap().taken.len(), 299);
    }

    #[test]
    fn weights_count_within_a_team_and_between_teams() {
        let mut teams = vec![team(vec![app(9, 1.0), app(9, 1.0)]), team(vec![app(9, 1.0)])];
        teams[0].apps[0].turn.weight = 2.0;
        let round = Round { teams, ..Round::default() };
        let ahead = play(round.clone(), (1, 0), 5, 1.0).unwrap();
        let order = names(&ahead);
        let count = |name: char| order.chars().filter(|it| *it == name).count();
        assert_eq!(count('c'), 5, "{order}");
        assert_eq!(count('a') + count('b'), 6, "teams alternate: {order}");
        assert_eq!((count('a'), count('b')), (4, 2), "{order}");
    }

    #[test]
    fn limits_hold_builds_back_and_let_others_pass() {
        let mut round = Round { teams: vec![team(vec![app(1, 10.0), app(3, 1.0)])], ..Round::default() };
        running(&mut round, (0, 0), 100.0);
        running(&mut round, (0, 1), 1.0);
        let ahead = play(round.clone(), (0, 0), 0, 1.0).unwrap();
        assert_eq!(
            (names(&ahead).as_str(), ahead.starts_in),
            ("bbb", 100.0),
            "its own first one ends so late"
        );
        round.teams[0].limit = Some(1);
        let ahead = play(round, (0, 1), 0, 1.0).unwrap();
        assert_eq!((names(&ahead).as_str(), ahead.starts_in), ("a", 110.0), "the team may run one at a time");
    }
}
