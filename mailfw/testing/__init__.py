"""For people who write plugins: contracts to run, conversations, fakes and a clock. Nothing in production imports this."""
