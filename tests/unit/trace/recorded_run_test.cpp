// SPDX-License-Identifier: MIT
/// The regression test that a trace is: a run of the driver on VFIO and QEMU's device (data/README.md) comes out the
/// same on the simulated device. On models that were broken on purpose it does not, and the replay tells where.

#include "core.h"
#include "replay_fixture.hpp"

namespace uiovfio {
namespace {

using test::texts;
using testing::AllOf;
using testing::Contains;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

/// What is wrong with the model.
struct Fault {
    std::uint64_t stuck_bits = 0;      ///< of every store to SCRATCH
    bool is_deaf_to_doorbell = false;  ///< of the DMA engine
    bool writes_wrong_byte = false;    ///< the first of each piece that is written to memory
};

Fault fault;
PcienicOps broken_ops;
PcienicDmaResult (*right_dma_write)(void*, std::uint64_t, const void*, std::size_t);

PcienicDmaResult wrong_dma_write(void* opaque, std::uint64_t address, const void* buffer, std::size_t length) {
    std::vector<std::byte> bytes(length);
    std::memcpy(bytes.data(), buffer, length);
    if (fault.writes_wrong_byte && !bytes.empty()) bytes.front() ^= std::byte{0xff};
    return right_dma_write(opaque, address, bytes.data(), length);
}

}  // namespace

// The linker has every caller in the library call these instead (--wrap).
// NOLINTBEGIN(bugprone-reserved-identifier,cert-dcl37-c,cert-dcl51-cpp): the linker wants these names
extern "C" {
void __real_pcienic_core_init(PcienicCore*, const PcienicOps*, void*, unsigned, std::uint8_t*, std::uint64_t);
void __real_pcienic_core_write(PcienicCore*, std::uint64_t, std::uint64_t, unsigned);
void __wrap_pcienic_core_init(PcienicCore*, const PcienicOps*, void*, unsigned, std::uint8_t*, std::uint64_t);
void __wrap_pcienic_core_write(PcienicCore*, std::uint64_t, std::uint64_t, unsigned);

void __wrap_pcienic_core_init(PcienicCore* core, const PcienicOps* ops, void* opaque, unsigned vectors,
                              std::uint8_t* memory, std::uint64_t memory_size) {
    broken_ops = *ops;
    right_dma_write = ops->dma_write;
    broken_ops.dma_write = wrong_dma_write;
    const bool is_broken = fault.writes_wrong_byte;
    __real_pcienic_core_init(core, is_broken ? &broken_ops : ops, opaque, vectors, memory, memory_size);
}

void __wrap_pcienic_core_write(PcienicCore* core, std::uint64_t offset, std::uint64_t value, unsigned size) {
    if (offset == PCIENIC_REG_SCRATCH) value |= fault.stuck_bits;
    if (offset == PCIENIC_DOORBELL_DMA_DOORBELL && fault.is_deaf_to_doorbell) return;
    __real_pcienic_core_write(core, offset, value, size);
}
}
// NOLINTEND(bugprone-reserved-identifier,cert-dcl37-c,cert-dcl51-cpp)

namespace {

class RecordedRun : public testing::Test {
  protected:
    ~RecordedRun() override { fault = {}; }

    [[nodiscard]] ReplayReport replayed(std::optional<unsigned> drop_vector = {}) const {
        SimOptions options = sim_options(trace.header());
        options.drop_vector = drop_vector;
        Device device = open_sim(options);
        return replay(trace, device, pcienic::replay_options());
    }

    const Trace trace = Trace::read(PCIENIC_TRACES "/driver.trace");
};

TEST_F(RecordedRun, OnVfioComesOutTheSameOnTheSimulatedDevice) {
    EXPECT_EQ(trace.header().backend, "vfio");
    EXPECT_EQ(trace.end(), TraceEnd::closed);
    const ReplayReport report = replayed();
    EXPECT_THAT(texts(report), IsEmpty());
    EXPECT_EQ(report.records, trace.records().size());
    EXPECT_GE(report.loads, 20u);
    EXPECT_GE(report.interrupts, 1u);
    EXPECT_GE(report.device_bytes, 3000u);
    EXPECT_EQ(report.assumed_bytes, 0u) << "it is resolved";
}

TEST_F(RecordedRun, TellsOfAModelWithAStuckBit) {
    fault.stuck_bits = 0x100000;
    EXPECT_THAT(texts(replayed()), ElementsAre(HasSubstr("SCRATCH (BAR0 0x10): expected 0x00005eed, got 0x00105eed")));
}

TEST_F(RecordedRun, TellsOfAModelThatDoesNotHearItsDoorbell) {
    fault.is_deaf_to_doorbell = true;
    EXPECT_THAT(texts(replayed()), AllOf(Contains(HasSubstr("memory at 0x2000: expected 0x01, got 0x00")),
                                         Contains(HasSubstr("vector 1, never taken: expected 1 interrupt"))));
}

TEST_F(RecordedRun, TellsOfAModelThatWritesOtherBytes) {
    fault.writes_wrong_byte = true;
    EXPECT_THAT(texts(replayed()), Contains(HasSubstr("memory at 0x2000: expected 0x01, got 0xfe")));
}

TEST_F(RecordedRun, TellsOfAModelThatLosesAnInterrupt) {
    EXPECT_THAT(texts(replayed(2)), ElementsAre(HasSubstr("vector 2: expected 1 interrupt, got 0 interrupts")));
}

}  // namespace
}  // namespace uiovfio
