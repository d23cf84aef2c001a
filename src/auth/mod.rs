//! Who may do what: tokens, the operator key, and the limit on guessing.

mod address;
mod claims;
mod operator_key;
mod rate_limit;
mod ticket;
mod token;
mod turn;

pub use address::{Network, NotANetwork, client_address};
pub use claims::{Claims, Publish};
pub use operator_key::{NotAKey, OperatorKey};
pub use rate_limit::{Limited, RateLimit};
pub use ticket::{Opens, Ticket, TicketError, Tickets};
pub use token::{Issued, Lifetimes, TokenError, Tokens};
pub use turn::{NotATurnUrl, Turn};
