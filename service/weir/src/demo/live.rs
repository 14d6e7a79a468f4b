//! The show: looks at everything once a second and draws it, until its end or a signal.
//!
//! In: the stage. Out: frames on a terminal, lines elsewhere, and the summary. Ends with an error where weir or HAProxy has
//! ended, or weir does not answer for long.

use std::cell::Cell;
use std::collections::VecDeque;
use std::io::{IsTerminal as _, Write as _};
use std::net::SocketAddr;
use std::time::Duration;

use anyhow::Context as _;
use jiff::Timestamp;
use tokio::sync::mpsc;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until};
use weir_devcluster::load::{Load, LoadOptions, LoadReport};

use super::curve::Plan;
use super::following::{self, Change};
use super::format;
use super::records::Entry;
use super::stage::{self, BOUNDS, Stage};
use super::summary::Summary;
use super::tally::{Expected, Tally};
use super::view::{self, Moment};
use crate::status::Status;

/// How often it looks.
const TICK: Duration = Duration::from_secs(1);
/// Without a terminal a line is written at every so many looks.
const LINE_EVERY: u64 = 2;
/// Records that stay on the screen.
const SHOWN: usize = 8;
/// So long requests that are under way at the end have.
const LAST_ANSWERS: Duration = Duration::from_secs(3);
/// A weir that does not answer for so many looks has failed.
const SILENT: u32 = 10;

/// Where the show is drawn.
pub(super) struct Screen {
    terminal: bool,
    /// Lines of the frame that stands now.
    drawn: Cell<usize>,
}

impl Screen {
    pub(super) fn new() -> Self {
        let dumb = std::env::var_os("TERM").is_none_or(|term| term == "dumb");
        Self { terminal: std::io::stdout().is_terminal() && !dumb, drawn: Cell::new(0) }
    }

    /// Writes below what stands there. A reader that went away is no error.
    pub(super) fn line(&self, text: &str) {
        self.drawn.set(0);
        let _ = writeln!(std::io::stdout(), "{text}");
    }

    /// Draws over the frame before; lines are cut at the right edge, so that none becomes two.
    fn frame(&self, lines: &[String]) {
        let up = match self.drawn.get() {
            0 => String::new(),
            lines => format!("\x1b[{lines}A"),
        };
        let body = lines.join("\x1b[0m\x1b[K\n");
        let mut out = std::io::stdout();
        let _ = write!(out, "{up}\r\x1b[?7l{body}\x1b[0m\x1b[K\n\x1b[J\x1b[?7h");
        let _ = out.flush();
        self.drawn.set(lines.len());
    }
}

/// A show that runs.
pub(super) struct Show {
    plan: Plan,
    load: Load,
    began: Instant,
    began_at: Timestamp,
    consul: mpsc::Receiver<Change>,
    tally: Tally,
    told: VecDeque<String>,
    status: Option<Status>,
    silent: u32,
    looks: u64,
}

impl Show {
    /// Starts the load.
    pub(super) fn begin(stage: &Stage, plan: Plan, consul: SocketAddr) -> Self {
        Self {
            load: Load::start(LoadOptions::new(stage.site.front, plan.rate(), plan.left())),
            plan,
            consul: following::follow(stage.client.clone(), consul),
            began: Instant::now(),
            began_at: Timestamp::now(),
            tally: Tally::default(),
            told: VecDeque::new(),
            status: None,
            silent: 0,
            looks: 0,
        }
    }

    /// Plays to the end.
    pub(super) async fn play(
        mut self,
        stage: &mut Stage,
        screen: &mut Screen,
        ends: &mut mpsc::Receiver<()>,
    ) -> anyhow::Result<Summary> {
        let mut ticks = interval(TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let end = self.plan.ends();
        let over = async move {
            match end {
                Some(end) => sleep_until(end).await,
                None => std::future::pending().await,
            }
        };
        tokio::pin!(over);
        loop {
            tokio::select! {
                () = &mut over => break,
                _ = ends.recv() => break,
                _ = ticks.tick() => {
                    self.look(stage).await?;
                    self.show(stage, screen);
                }
            }
        }
        self.finish(stage, screen).await
    }

    /// Reads weir's status and records.
    async fn look(&mut self, stage: &mut Stage) -> anyhow::Result<()> {
        stage.must_run()?;
        let read = async { anyhow::Ok((stage.status().await?, self.records(stage).await?)) }.await;
        match read {
            Ok((status, records)) => self.take_in(status, &records),
            Err(error) if self.silent >= SILENT => {
                let log = stage.site.path("weir.log");
                return Err(error)
                    .with_context(|| format!("weir does not answer; its log is {}", log.display()));
            }
            Err(_) => self.silent += 1,
        }
        Ok(())
    }

    async fn records(&self, stage: &Stage) -> anyhow::Result<Vec<Entry>> {
        let url = format!("http://{}/v1/records?since={}", stage.site.http, self.tally.seq);
        Ok(stage.client.get(url).send().await?.error_for_status()?.json().await?)
    }

    fn take_in(&mut self, status: Status, records: &[Entry]) {
        self.silent = 0;
        while let Ok(change) = self.consul.try_recv() {
            self.tally.consul_changed(change);
        }
        self.tally.serving(stage::servers(&status));
        self.status = Some(status);
        for entry in records {
            self.tally.record(entry);
            if let Some(text) = entry.event.text() {
                // What came before the load is at 0:00.
                let at = Duration::try_from(self.began_at.duration_until(entry.at)).unwrap_or_default();
                self.told.push_back(format!("{:>6}  {text}", format::clock(at)));
            }
        }
    }

    fn show(&mut self, stage: &Stage, screen: &Screen) {
        let report = self.load.report();
        let moment = self.moment(stage, &report);
        if screen.terminal {
            let surplus = self.told.len().saturating_sub(SHOWN);
            self.told.drain(..surplus);
            screen.frame(&view::frame(&moment, &self.told));
        } else {
            self.told.drain(..).for_each(|text| screen.line(&text));
            if self.looks.is_multiple_of(LINE_EVERY) {
                screen.line(&view::line(&moment));
            }
        }
        self.looks += 1;
    }

    fn moment<'a>(&self, stage: &Stage, report: &'a LoadReport) -> Moment<'a> {
        let decision = self.status.as_ref().and_then(view::decision);
        let pool = self.tally.pool();
        Moment {
            elapsed: self.began.elapsed(),
            length: self.plan.ends().map(|end| end.saturating_duration_since(self.began)),
            rate: self.load.rate_now(),
            report,
            work: decision.and_then(view::work),
            pool: pool.map_or(0, |pool| pool.now),
            starting: stage.starting(),
            wanted: self.tally.wanted().unwrap_or_else(|| BOUNDS.0.into()),
            reloads: self.reloads(),
            in_force: self.tally.delays().map(|(median, _)| median),
            http: stage.site.http,
        }
    }

    fn reloads(&self) -> u64 {
        self.status.iter().flat_map(|status| &status.haproxy).map(|haproxy| haproxy.reloads).sum()
    }

    /// Stops the load, waits for the last answers, and sums up.
    async fn finish(mut self, stage: &mut Stage, screen: &mut Screen) -> anyhow::Result<Summary> {
        let lasted = self.began.elapsed();
        self.load.stop();
        let patience = Instant::now() + LAST_ANSWERS;
        while self.load.report().in_flight() > 0 && Instant::now() < patience {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        self.look(stage).await?;
        self.show(stage, screen);
        let expected = Expected {
            min: BOUNDS.0.into(),
            grown: lasted >= self.plan.grown_by(),
            back: self.plan.is_back(lasted),
        };
        let reloads = self.reloads();
        Ok(Summary::new(lasted, self.began_at, self.load.report(), self.tally, reloads, expected))
    }
}
