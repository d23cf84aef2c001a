//! Where files of recordings stay: in their folders, or, checked after they were uploaded, in an object store.

use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::UNIX_EPOCH;

use bytes::Bytes;
use futures_util::stream::{self, BoxStream};
use futures_util::{StreamExt, TryStreamExt};
use object_store::aws::{AmazonS3Builder, AmazonS3ConfigKey};
use object_store::local::LocalFileSystem;
use object_store::path::Path as ObjectPath;
use object_store::{GetOptions, GetRange, ObjectStore, ObjectStoreExt, WriteMultipart};
use tokio::fs::File;
use tokio::io::{AsyncReadExt, AsyncSeekExt, SeekFrom};

use super::FILES;
use super::manifest::Sum;
use crate::id::LessonId;
use crate::lesson::{Recording, RecordingFile};

/// What is read at a time.
const PIECE: usize = 64 * 1024;
/// What is uploaded at a time; S3 takes no less in a part, and no more than 10,000 parts.
const PART: usize = 16 * 1024 * 1024;

/// Why files can't be kept or read where they belong.
#[derive(Debug, thiserror::Error)]
pub enum StorageError {
    /// The address of the object store makes no sense.
    #[error("recording.storage: {0}")]
    Address(String),
    /// A local file.
    #[error("{path}: {source}")]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The object store.
    #[error("the object store failed: {0}")]
    Store(#[from] object_store::Error),
    /// What was read back is not what was uploaded.
    #[error("{name} came back from the object store with {octets} octets and SHA-256 {sha256}")]
    Differs {
        /// Which file.
        name: String,
        /// How large what came back is.
        octets: u64,
        /// Its checksum.
        sha256: String,
    },
}

/// The path of something below a folder, unless it leads elsewhere: every part is made of letters, digits, `.`, `_` and `-`, and
/// begins with none of `.` and `-`.
#[must_use]
pub fn inside(folder: &Path, path: &str) -> Option<PathBuf> {
    let plain = |part: &str| {
        part.len() <= 128
            && !part.is_empty()
            && !part.starts_with(['.', '-'])
            && part.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b))
    };
    let parts: Vec<&str> = path.split('/').collect();
    (parts.len() <= 4 && parts.iter().all(|part| plain(part)))
        .then(|| parts.iter().fold(folder.to_owned(), |all, part| all.join(part)))
}

/// Something that can be read from any place of it.
#[derive(Debug)]
pub struct Readable {
    octets: u64,
    tag: String,
    from: From,
}

#[derive(Debug)]
enum From {
    File(File),
    Store(Arc<dyn ObjectStore>, ObjectPath),
}

impl Readable {
    /// A local file as it is now; `None` where there is none.
    ///
    /// # Errors
    /// When it is there and can't be read.
    pub async fn open(path: &Path) -> io::Result<Option<Self>> {
        let file = match File::open(path).await {
            Ok(file) => file,
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
                return Ok(None);
            }
            Err(error) => return Err(error),
        };
        let facts = file.metadata().await?;
        if !facts.is_file() {
            return Ok(None);
        }
        let modified = facts.modified().ok().and_then(|at| at.duration_since(UNIX_EPOCH).ok()).unwrap_or_default();
        let tag = format!("{:x}-{:x}", modified.as_nanos(), facts.len());
        Ok(Some(Self { octets: facts.len(), tag, from: From::File(file) }))
    }

    /// How large it is.
    #[must_use]
    pub fn octets(&self) -> u64 {
        self.octets
    }

    /// What changes when it changes.
    #[must_use]
    pub fn tag(&self) -> &str {
        &self.tag
    }

    /// All of it, where it is as small as playlists are.
    ///
    /// # Errors
    /// When it can't be read, or is larger than `most`.
    pub async fn whole(self, most: usize) -> io::Result<Vec<u8>> {
        if self.octets > most as u64 {
            return Err(io::Error::new(io::ErrorKind::FileTooLarge, format!("{} octets", self.octets)));
        }
        let all = 0..self.octets;
        let mut whole = Vec::with_capacity(self.octets as usize);
        let mut pieces = self.stream(all).await?;
        while let Some(piece) = pieces.try_next().await? {
            whole.extend_from_slice(&piece);
        }
        Ok(whole)
    }

    /// A range of it, piece by piece.
    ///
    /// # Errors
    /// When it can't be read.
    pub async fn stream(self, range: Range<u64>) -> io::Result<BoxStream<'static, io::Result<Bytes>>> {
        match self.from {
            From::File(mut file) => {
                file.seek(SeekFrom::Start(range.start)).await?;
                let left = range.end.saturating_sub(range.start);
                let pieces = stream::try_unfold((file, left), |(mut file, left)| async move {
                    if left == 0 {
                        return Ok(None);
                    }
                    let mut piece = vec![0; PIECE.min(usize::try_from(left).unwrap_or(PIECE))];
                    let read = file.read(&mut piece).await?;
                    if read == 0 {
                        return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the file was cut short"));
                    }
                    piece.truncate(read);
                    Ok(Some((Bytes::from(piece), (file, left - read as u64))))
                });
                Ok(pieces.boxed())
            }
            From::Store(store, path) => {
                let options = GetOptions { range: Some(GetRange::Bounded(range)), ..GetOptions::default() };
                let got = store.get_opts(&path, options).await.map_err(io::Error::other)?;
                Ok(got.into_stream().map_err(io::Error::other).boxed())
            }
        }
    }
}

/// Where files stay.
#[derive(Debug)]
pub struct Storage {
    root: PathBuf,
    elsewhere: Option<(Arc<dyn ObjectStore>, ObjectPath)>,
}

impl Storage {
    /// In the folders below `root`, or where the address says.
    ///
    /// # Errors
    /// [`StorageError::Address`] or [`StorageError::File`].
    pub(super) fn new(root: PathBuf, address: Option<&str>) -> Result<Self, StorageError> {
        let elsewhere = address.map(open).transpose()?;
        Ok(Self { root, elsewhere })
    }

    /// Whether files are uploaded.
    #[must_use]
    pub fn is_elsewhere(&self) -> bool {
        self.elsewhere.is_some()
    }

    fn local(&self, lesson: LessonId) -> PathBuf {
        self.root.join(lesson.to_string()).join(FILES)
    }

    fn object(&self, lesson: LessonId, name: &str) -> Option<(Arc<dyn ObjectStore>, ObjectPath)> {
        let (store, prefix) = self.elsewhere.as_ref()?;
        Some((store.clone(), prefix.clone().join(lesson.to_string()).join(name)))
    }

    /// A file of a recording, from where it is; `None` where it isn't.
    ///
    /// # Errors
    /// [`StorageError`] when it is there and can't be read.
    pub async fn open(&self, recording: &Recording, file: &RecordingFile) -> Result<Option<Readable>, StorageError> {
        let local = inside(&self.local(recording.lesson), &file.name).filter(|_| recording.stored_at.is_none());
        match (local, self.object(recording.lesson, &file.name)) {
            (Some(path), _) => {
                let opened = Readable::open(&path).await.map_err(|source| StorageError::File { path, source })?;
                Ok(opened.map(|readable| Readable { tag: file.sha256.clone(), ..readable }))
            }
            (None, Some((store, path))) if recording.stored_at.is_some() => {
                Ok(Some(Readable { octets: file.octets, tag: file.sha256.clone(), from: From::Store(store, path) }))
            }
            _ => Ok(None),
        }
    }

    /// Upload a file and read it back.
    ///
    /// # Errors
    /// [`StorageError`]; [`StorageError::Differs`] when what came back is something else.
    pub(super) async fn upload(&self, lesson: LessonId, file: &RecordingFile) -> Result<(), StorageError> {
        let Some((store, path)) = self.object(lesson, &file.name) else { return Ok(()) };
        let from = self.local(lesson).join(&file.name);
        let failed = |source| StorageError::File { path: from.clone(), source };
        if !matches!(read_back(&*store, &path, file).await, Ok(())) {
            let mut source = File::open(&from).await.map_err(failed)?;
            let mut parts = WriteMultipart::new_with_chunk_size(store.put_multipart(&path).await?, PART);
            let mut piece = vec![0; PIECE];
            loop {
                let read = source.read(&mut piece).await.map_err(failed)?;
                if read == 0 {
                    break;
                }
                parts.wait_for_capacity(1).await?;
                parts.write(&piece[..read]);
            }
            parts.finish().await?;
            metrics::counter!("mingshi_recording_uploaded_bytes_total").increment(file.octets);
        }
        read_back(&*store, &path, file).await
    }

    /// Remove what is in the object store of a recording.
    ///
    /// # Errors
    /// [`StorageError::Store`].
    pub(super) async fn remove(&self, lesson: LessonId, files: &[RecordingFile]) -> Result<(), StorageError> {
        for (store, path) in files.iter().filter_map(|file| self.object(lesson, &file.name)) {
            match store.delete(&path).await {
                Ok(()) | Err(object_store::Error::NotFound { .. }) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }
}

/// Size and checksum of what is in the object store have to be the file's.
async fn read_back(store: &dyn ObjectStore, path: &ObjectPath, file: &RecordingFile) -> Result<(), StorageError> {
    let mut pieces = store.get(path).await?.into_stream();
    let mut sum = Sum::default();
    while let Some(piece) = pieces.try_next().await? {
        sum.add(&piece);
    }
    let (octets, sha256) = sum.finish();
    if (octets, &sha256) == (file.octets, &file.sha256) {
        return Ok(());
    }
    Err(StorageError::Differs { name: file.name.clone(), octets, sha256 })
}

fn open(address: &str) -> Result<(Arc<dyn ObjectStore>, ObjectPath), StorageError> {
    let wrong = |fact: String| StorageError::Address(fact);
    if let Some(folder) = address.strip_prefix("file://") {
        let failed = |source| StorageError::File { path: folder.into(), source };
        std::fs::create_dir_all(folder).map_err(failed)?;
        return Ok((Arc::new(LocalFileSystem::new_with_prefix(folder)?), ObjectPath::default()));
    }
    let rest =
        address.strip_prefix("s3://").ok_or_else(|| wrong(format!("{address:?} is neither s3:// nor file://")))?;
    let (place, query) = rest.split_once('?').unwrap_or((rest, ""));
    let (bucket, prefix) = place.split_once('/').unwrap_or((place, ""));
    // Keys come from the environment: the configuration is read by many.
    let mut builder = AmazonS3Builder::from_env().with_bucket_name(bucket);
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (key, value) = pair.split_once('=').ok_or_else(|| wrong(format!("{pair:?} has no value")))?;
        builder = match key {
            "region" => builder.with_config(AmazonS3ConfigKey::Region, value),
            "endpoint" => {
                builder.with_config(AmazonS3ConfigKey::Endpoint, value).with_allow_http(value.starts_with("http://"))
            }
            "virtual_hosted" => builder.with_config(AmazonS3ConfigKey::VirtualHostedStyleRequest, value),
            other => return Err(wrong(format!("{other:?} is none of region, endpoint and virtual_hosted"))),
        };
    }
    let prefix = ObjectPath::parse(prefix.trim_end_matches('/')).map_err(|error| wrong(error.to_string()))?;
    Ok((Arc::new(builder.build()?), prefix))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lesson::RecordingState;
    use time::macros::datetime;

    #[test]
    fn no_path_leads_out_of_its_folder() {
        let folder = Path::new("/data/dvr");
        assert_eq!(inside(folder, "camera/high/000001.m4s"), Some("/data/dvr/camera/high/000001.m4s".into()));
        for path in [
            "",
            ".",
            "..",
            "../x",
            "a/../b",
            "/etc/passwd",
            "a//b",
            "a/",
            ".hidden",
            "a/.b",
            "a\\b",
            "a\0b",
            "é",
            "%2e%2e/x",
            "a/b/c/d/e",
            "-x",
        ] {
            assert_eq!(inside(folder, path), None, "{path:?}");
        }
    }

    #[test]
    fn addresses_of_object_stores_are_checked() {
        assert!(open("s3://bucket/a/b?region=cn-north-1&endpoint=http://127.0.0.1:9000").is_ok());
        for (address, said) in [
            ("s3://bucket?key=secret", "\"key\" is none of region, endpoint and virtual_hosted"),
            ("s3://bucket?region", "\"region\" has no value"),
            ("s3://bucket/a//b", "recording.storage: "),
            ("ftp://x", "neither s3:// nor file://"),
        ] {
            let told = open(address).expect_err(address).to_string();
            assert!(told.contains(said), "{address} gave {told}");
        }
    }

    fn file(content: &[u8]) -> RecordingFile {
        let mut sum = Sum::default();
        sum.add(content);
        let (octets, sha256) = sum.finish();
        RecordingFile {
            name: "camera.mp4".into(),
            track: Some("camera".into()),
            variant: Some("original".into()),
            whole: true,
            video: None,
            audio: None,
            octets,
            sha256,
            duration_ms: 1,
        }
    }

    #[tokio::test]
    async fn what_was_uploaded_is_read_back_and_served_from_there() {
        let (here, there) = (tempfile::tempdir().expect("a folder"), tempfile::tempdir().expect("a folder"));
        let address = format!("file://{}", there.path().display());
        let storage = Storage::new(here.path().into(), Some(&address)).expect("a folder is a store");
        let lesson = LessonId::from_u64(5);
        let content: Vec<u8> = (0..200_000_u32).map(|at| at as u8).collect();
        let file = file(&content);
        std::fs::create_dir_all(storage.local(lesson)).expect("made");
        std::fs::write(storage.local(lesson).join("camera.mp4"), &content).expect("written");
        storage.upload(lesson, &file).await.expect("uploaded");

        let now = datetime!(2026-11-24 08:00 UTC);
        let mut recording = Recording::new(lesson, now);
        (recording.state, recording.stored_at) = (RecordingState::Ready, Some(now));
        std::fs::remove_dir_all(here.path().join(lesson.to_string())).expect("removed");
        let readable = storage.open(&recording, &file).await.expect("read").expect("there");
        let mut pieces = readable.stream(70_000..70_010).await.expect("read");
        assert_eq!(pieces.try_next().await.expect("read").as_deref(), Some(&content[70_000..70_010]));
        assert!(pieces.try_next().await.expect("read").is_none());

        let uploaded = there.path().join(lesson.to_string()).join("camera.mp4");
        let mut altered = content.clone();
        altered[9] ^= 1;
        std::fs::write(&uploaded, &altered).expect("altered");
        let (store, path) = storage.object(lesson, "camera.mp4").expect("elsewhere");
        let told = read_back(&*store, &path, &file).await.expect_err("it isn't the same");
        assert!(matches!(told, StorageError::Differs { octets: 200_000, .. }), "{told}");
        storage.remove(lesson, std::slice::from_ref(&file)).await.expect("removed");
        storage.remove(lesson, &[file]).await.expect("gone already");
        assert!(!uploaded.exists());
    }
}
