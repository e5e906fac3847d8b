//! What an operator sees and does, in the forms that the commands and the admin API share.
//! Absent: how a table looks, and HTTP.

pub mod time;
