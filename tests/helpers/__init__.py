"""What several tests share: small runs, stand-ins for servers, toy games, fault injection."""
