//! What `minerva-core doctor` says of a store. Called by the programs' `main.rs`, never by a core that serves.

use std::path::Path;

use minerva_runtime::doctor::Finding;

use super::StoreUrl;
use super::redis::examine;

/// Looks at a store without changing what it has.
pub async fn doctor(url: &StoreUrl) -> Vec<Finding> {
    match url {
        StoreUrl::Memory => {
            vec![Finding::warn(
                "store",
                url,
                "--store redb:DIR or redis://HOST, to keep what it has at its end",
            )]
        }
        StoreUrl::Redb(directory) => vec![judge_directory(directory)],
        StoreUrl::Redis(url) => examine(url).await,
    }
}

fn judge_directory(directory: &Path) -> Finding {
    let (what, name) = ("directory of the store", directory.display());
    match std::fs::metadata(directory) {
        Ok(found) if found.is_dir() && !found.permissions().readonly() => Finding::ok(what, name),
        Ok(_) => {
            let fix = "name a directory that this program may write to";
            Finding::fail(what, format!("{name} is none, or cannot be written"), fix)
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            Finding::ok(what, format!("{name}, which will be made"))
        }
        Err(error) => Finding::fail(what, format!("{name}: {error}"), "let this program read it"),
    }
}

#[cfg(test)]
mod tests {
    use minerva_runtime::doctor::Verdict;

    use super::*;

    #[test]
    fn a_directory_is_there_or_will_be_made() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("file");
        let verdict = |path: &Path| judge_directory(path).verdict();
        assert_eq!((verdict(directory.path()), verdict(&file)), (Verdict::Ok, Verdict::Ok));
        std::fs::write(&file, "").unwrap();
        assert_eq!(verdict(&file), Verdict::Fail);
        assert_eq!(verdict(&file.join("below")), Verdict::Fail);
    }
}
