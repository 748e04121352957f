"""What a training costs: its energy, its ledger, and the table of runs."""
