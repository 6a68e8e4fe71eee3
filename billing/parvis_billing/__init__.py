"""What each agent costs a year, from the facts of use and the invoices, to the micro-euro."""
