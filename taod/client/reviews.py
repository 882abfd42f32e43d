"""Calls about what is in a dataset: the full check's report, samples of the images, datasets made of jobs."""

from __future__ import annotations

from taod.client.transport import Transport
from taod.types.dataset import Dataset, DatasetCheck, DatasetFromJob, DatasetReport, DatasetSample


class ReviewCalls(Transport):
    """Checks and samples of the user's datasets."""

    async def dataset_report(self, dataset_id: str) -> DatasetReport:
        return await self.call("GET", self.user_path("dataset", dataset_id, "report"), DatasetReport)

    async def check_dataset(self, dataset_id: str, *, deep: bool = False) -> DatasetReport:
        """Begin the full check; it goes on in the background."""
        location = self.user_path("dataset", dataset_id, "check")
        return await self.call("POST", location, DatasetReport, body=DatasetCheck(deep))

    async def cancel_check(self, dataset_id: str) -> DatasetReport:
        return await self.call("DELETE", self.user_path("dataset", dataset_id, "check"), DatasetReport)

    async def samples(self, dataset_id: str) -> list[DatasetSample]:
        return await self.call("GET", self.user_path("dataset", dataset_id, "samples"), list[DatasetSample])

    async def sample(self, dataset_id: str, number: int, *, boxes: bool = True) -> bytes:
        """One thumbnail, a JPEG."""
        location = self.user_path("dataset", dataset_id, "samples", str(number))
        async with self.stream("GET", f"{location}?boxes={str(boxes).lower()}") as response:
            return await response.aread()

    async def dataset_from_job(self, job_id: str, body: DatasetFromJob) -> Dataset:
        """A new dataset of what a job of the data services has left."""
        return await self.call("POST", self.user_path("job", job_id, "dataset"), Dataset, body=body)
