//! A control group of the memory controller, of version 1 or 2.

use std::fs;
use std::path::{Path, PathBuf};

/// Where the controller is, and what its files are called there: the limit, and the usage.
const KINDS: [(&str, &str, &str); 2] = [
    ("/sys/fs/cgroup/memory", "memory.limit_in_bytes", "memory.usage_in_bytes"),
    ("/sys/fs/cgroup", "memory.max", "memory.current"),
];

/// A group without processes, until one is started in it. Gone when dropped.
pub(crate) struct Group {
    folder: PathBuf,
    limit: &'static str,
    usage: &'static str,
}

impl Group {
    /// None where the system lets nobody make one.
    pub(crate) fn new(name: &str) -> Option<Self> {
        KINDS.into_iter().find_map(|(root, limit, usage)| {
            let folder = Path::new(root).join(format!("freestone-{name}-{}", std::process::id()));
            fs::create_dir(&folder).ok()?;
            let group = Self { folder, limit, usage };
            // Also the root group of version 2 has folders, but in these no memory is counted.
            group.usage_file().exists().then_some(group)
        })
    }

    /// The same, of which no more than so many bytes can be had.
    pub(crate) fn limited(name: &str, bytes: usize) -> Option<Self> {
        let group = Self::new(name)?;
        fs::write(group.folder.join(group.limit), bytes.to_string()).ok()?;
        Some(group)
    }

    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// The file that says how many bytes the group is charged for.
    pub(crate) fn usage_file(&self) -> PathBuf {
        self.folder.join(self.usage)
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        // A group that stays behind harms nobody.
        let _ = fs::remove_dir(&self.folder);
    }
}
