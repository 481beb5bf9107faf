"""The service's own table, besides the kernel's."""

from sqlalchemy import Column, DateTime, Index, MetaData, Table, Text, Uuid

metadata = MetaData()

directory = Table(
    "directory",
    metadata,
    Column("subject", Uuid, primary_key=True),
    Column("person", Uuid, nullable=False),
    Column("name", Text),
    Column("email", Text),
    Column("erased_at", DateTime(timezone=True)),
    Index("directory_person", "person"),
    comment="Which natural person an account belongs to, and their name and address until that person is erased.",
)
