"""The ground floor: what every service needs and that knows no ministry."""
