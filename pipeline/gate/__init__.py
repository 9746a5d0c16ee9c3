"""Whether what was audited may go on: limits that somebody set, held against an audit's figures."""
