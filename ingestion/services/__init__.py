"""Operations on sources, tables and connections, called by admin, API, commands and YAML files."""
