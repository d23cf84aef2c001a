//! Why a slot gets what it gets.

/// Why a slot gets what it gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Reason {
    /// The best that flows.
    Best,
    /// The receiver asked for no more.
    Capped,
    /// Better ones exist, but the publisher doesn't send them at present.
    NotSent,
    /// Nothing flows.
    Silent,
    /// The page shows it small, or not at all.
    Small,
    /// The line carries no more.
    NoRoom,
    /// The line may carry more, but lessons may use no more of it.
    Tier,
    /// This classroom's own last metre carries no more, though its line does.
    Own,
    /// There is room for more, which has yet to prove that it lasts.
    Waiting,
}

impl Reason {
    /// Whether the line, or one end of it, is what keeps a slot from more. What is kept back so goes up again only on
    /// what has lasted.
    #[must_use]
    pub const fn is_of_line(self) -> bool {
        matches!(self, Self::NoRoom | Self::Tier | Self::Own | Self::Waiting)
    }

    /// Its name in reports and logs.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Best => "best",
            Self::Capped => "capped",
            Self::NotSent => "not_sent",
            Self::Silent => "silent",
            Self::Small => "small",
            Self::NoRoom => "no_room",
            Self::Tier => "tier",
            Self::Own => "own",
            Self::Waiting => "waiting",
        }
    }
}
