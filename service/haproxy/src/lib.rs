//! HAProxy as it runs: stats socket, master socket, statistics, validation, reload
