"""The static site: pages, pictures and downloads of all entries, made by `bench leaderboard build`."""
