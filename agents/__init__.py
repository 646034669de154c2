"""Everything that one rollout needs: protocol, transcript, engines, tools and the local web."""
