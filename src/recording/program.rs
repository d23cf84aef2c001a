//! Where the media program is.

use std::path::PathBuf;

const NAME: &str = "mingshi-media";

/// The media program isn't there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{NAME} is neither beside this program nor in the path; MINGSHI_MEDIA may say where it is")]
pub struct NoProgram;

/// `mingshi-media`: where `MINGSHI_MEDIA` says, beside this program, or in the path.
///
/// # Errors
/// [`NoProgram`].
pub fn find_media_program() -> Result<PathBuf, NoProgram> {
    if let Some(path) = std::env::var_os("MINGSHI_MEDIA") {
        return Ok(path.into());
    }
    let beside = std::env::current_exe().ok().and_then(|own| own.parent().map(|folder| folder.join(NAME)));
    let path = std::env::var_os("PATH").unwrap_or_default();
    let everywhere = beside.into_iter().chain(std::env::split_paths(&path).map(|folder| folder.join(NAME)));
    everywhere.into_iter().find(|candidate| candidate.is_file()).ok_or(NoProgram)
}
