//! The store checks of `minerva-core doctor`. The `main.rs` of a program calls them; a serving core does not.

use std::path::Path;

use minerva_runtime::doctor::Finding;

use super::StoreUrl;
use super::redis::examine;

/// Checks a store without changing its data.
pub async fn doctor(url: &StoreUrl) -> Vec<Finding> {
    match url {
        StoreUrl::Memory => {
            vec![Finding::warn(
                "store",
                url,
                "--store redb:DIR or redis://HOST, to keep the data beyond the process",
            )]
        }
        StoreUrl::Redb(directory) => vec![directory_finding(directory)],
        StoreUrl::Redis(url) => examine(url).await,
    }
}

fn directory_finding(directory: &Path) -> Finding {
    let (subject, name) = ("directory of the store", directory.display());
    match std::fs::metadata(directory) {
        Ok(found) if found.is_dir() && !found.permissions().readonly() => {
            Finding::ok(subject, name)
        }
        Ok(_) => {
            let fix = "name a directory that this program may write to";
            Finding::fail(subject, format!("{name} is not a writable directory"), fix)
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            Finding::ok(subject, format!("{name}, which will be created"))
        }
        Err(error) => {
            Finding::fail(subject, format!("{name}: {error}"), "let this program read it")
        }
    }
}

#[cfg(test)]
mod tests {
    use minerva_runtime::doctor::Verdict;

    use super::*;

    #[test]
    fn a_directory_exists_or_can_be_created() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("file");
        let verdict = |path: &Path| directory_finding(path).verdict();
        assert_eq!((verdict(directory.path()), verdict(&file)), (Verdict::Ok, Verdict::Ok));
        std::fs::write(&file, "").unwrap();
        assert_eq!(verdict(&file), Verdict::Fail);
        assert_eq!(verdict(&file.join("below")), Verdict::Fail);
    }
}
