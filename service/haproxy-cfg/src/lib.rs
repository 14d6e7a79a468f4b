//! The language of haproxy.cfg: words, lines, sections, servers
