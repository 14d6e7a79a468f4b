//! Texts that are only tried out: `haproxy -c` with them in place, and nothing is put in force.

use std::sync::Arc;

use weir_haproxy::{Candidate, validate};
use weir_pools::places::OutputKind;

use super::apply::{attributes, blocking};
use super::{Files, Hands};
use crate::chain::chain;

impl Hands {
    /// Whether HAProxy accepts these configurations; or why that cannot be found out.
    pub(crate) async fn try_out(self: Arc<Self>, files: Files) -> Result<bool, String> {
        let haproxy = self.haproxy.as_ref().ok_or("no HAProxy is configured")?;
        let hands = self.clone();
        let trials = blocking(move || hands.trials(&files)).await?.map_err(|error| chain(&error))?;
        let places: Vec<_> = trials.iter().map(Candidate::substitution).collect();
        validate(haproxy, &places).await.map(|verdict| verdict.is_accepted()).map_err(|error| chain(&error))
    }

    fn trials(&self, files: &Files) -> Result<Vec<Candidate>, weir_haproxy::WriteError> {
        let mut trials = Vec::new();
        for (index, text) in files {
            let Some(file) = self.files.get(*index).filter(|file| file.kind == OutputKind::Haproxy) else {
                continue;
            };
            trials.extend(Candidate::trial(&file.template.destination, text.as_bytes(), &attributes(file))?);
        }
        Ok(trials)
    }
}
