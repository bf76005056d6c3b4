// SPDX-License-Identifier: MIT
#include "core_fixture.hpp"

#include <algorithm>

namespace pcienic::test {
namespace {

using ::testing::IsEmpty;

constexpr auto kNop = PCIENIC_DESCRIPTOR_CONTROL_OPCODE_NOP;
constexpr auto kHostToDevice = PCIENIC_DESCRIPTOR_CONTROL_OPCODE_HOST_TO_DEVICE;
constexpr auto kDeviceToHost = PCIENIC_DESCRIPTOR_CONTROL_OPCODE_DEVICE_TO_HOST;
constexpr auto kHostToHost = PCIENIC_DESCRIPTOR_CONTROL_OPCODE_HOST_TO_HOST;
constexpr auto kFillHost = PCIENIC_DESCRIPTOR_CONTROL_OPCODE_FILL_HOST;
constexpr auto kFillDevice = PCIENIC_DESCRIPTOR_CONTROL_OPCODE_FILL_DEVICE;
constexpr auto kSourceSg = PCIENIC_DESCRIPTOR_CONTROL_SOURCE_SG_MASK;
constexpr auto kDestinationSg = PCIENIC_DESCRIPTOR_CONTROL_DESTINATION_SG_MASK;
constexpr auto kInterrupt = PCIENIC_DESCRIPTOR_CONTROL_INTERRUPT_MASK;
constexpr unsigned kOk = PCIENIC_COMPLETION_STATUS_CODE_OK;

constexpr std::uint32_t vector_bits(unsigned vector) { return vector << PCIENIC_DESCRIPTOR_CONTROL_VECTOR_SHIFT; }
constexpr std::uint32_t destination_count(std::uint32_t n) {
    return n << PCIENIC_DESCRIPTOR_SG_COUNT_DESTINATION_SHIFT;
}

class Dma : public CoreFixture {
  protected:
    void expect_code(const Descriptor& d, unsigned code, std::uint64_t detail = 0) {
        const auto done = execute(d);
        EXPECT_EQ(done.code(), code);
        EXPECT_EQ(done.detail, detail);
        EXPECT_EQ(dma_state(), PCIENIC_DMA_STATUS_STATE_IDLE) << "an error of one command is not one of the queue";
    }
    Bytes bytes_of(std::uint64_t address, std::size_t size) {
        const auto* begin = host.at(address, size);
        return {begin, begin + size};
    }
};

// --- what the opcodes do ---

TEST_F(Dma, NopCompletes) {
    start_engine();
    expect_code({.tag = 77, .control = kNop}, kOk);
    EXPECT_THAT(messages, IsEmpty());
    EXPECT_EQ(read64(PCIENIC_REG_DMA_COMPLETED), 1u);
    EXPECT_EQ(dma_head(), 1u);
    expect_nothing_latched();
}

TEST_F(Dma, HostToDevice) {
    start_engine();
    number(host.at(kBuffer, kBufferSize), kBufferSize);
    expect_code({.source = kBuffer + 3, .destination = 100, .length = 50'001, .control = kHostToDevice}, kOk, 50'001);
    EXPECT_EQ(Bytes(memory.begin() + 100, memory.begin() + 100 + 50'001), bytes_of(kBuffer + 3, 50'001));
    EXPECT_EQ(memory[99], 0);
    EXPECT_EQ(memory[100 + 50'001], 0);
}

TEST_F(Dma, DeviceMemoryThatWasWrittenIsReported) {
    start_engine();
    execute({.source = kBuffer, .destination = 4096, .length = 8192, .control = kHostToDevice});
    std::uint64_t next = 4096;
    for (const auto& [offset, length] : dirtied) {
        EXPECT_EQ(offset, next);
        next += length;
    }
    EXPECT_EQ(next, 4096u + 8192u);
}

TEST_F(Dma, DeviceToHost) {
    start_engine();
    number(memory.data(), memory.size());
    expect_code({.source = 17, .destination = kBuffer + 1, .length = 70'000, .control = kDeviceToHost}, kOk, 70'000);
    EXPECT_EQ(bytes_of(kBuffer + 1, 70'000), Bytes(memory.begin() + 17, memory.begin() + 17 + 70'000));
    EXPECT_THAT(dirtied, IsEmpty());
}

TEST_F(Dma, HostToHostAtEveryPairOfOffsetsInAPage) {
    start_engine();
    number(host.at(kBuffer, kBufferSize), kBufferSize);
    for (std::uint64_t from : {0u, 1u, 4095u, 2048u}) {
        for (std::uint64_t to : {0u, 7u, 4094u, 2048u}) {
            std::fill_n(host.at(kOther, 32'768), 32'768, std::uint8_t{0});
            expect_code(
                {.source = kBuffer + from, .destination = kOther + to, .length = 12'345, .control = kHostToHost}, kOk,
                12'345);
            EXPECT_EQ(bytes_of(kOther + to, 12'345), bytes_of(kBuffer + from, 12'345)) << from << " to " << to;
            EXPECT_EQ(*host.at(kOther + to + 12'345, 1), 0);
        }
    }
}

TEST_F(Dma, FillHostRepeatsThePatternFromTheFirstByte) {
    start_engine();
    expect_code({.source = 0x0807060504030201, .destination = kBuffer + 4093, .length = 8195, .control = kFillHost},
                kOk, 8195);
    for (std::size_t i = 0; i < 8195; ++i) ASSERT_EQ(*host.at(kBuffer + 4093 + i, 1), i % 8 + 1) << i;
    EXPECT_EQ(*host.at(kBuffer + 4092, 1), 0);
    EXPECT_EQ(*host.at(kBuffer + 4093 + 8195, 1), 0);
}

TEST_F(Dma, FillDevice) {
    start_engine();
    expect_code({.source = 0x0807060504030201, .destination = 5, .length = 10'001, .control = kFillDevice}, kOk,
                10'001);
    for (std::size_t i = 0; i < 10'001; ++i) ASSERT_EQ(memory[5 + i], i % 8 + 1) << i;
    EXPECT_EQ(memory[5 + 10'001], 0);
}

TEST_F(Dma, AllOfDeviceMemory) {
    start_engine();
    number(host.at(kBuffer, kBufferSize), kBufferSize);
    expect_code({.source = kBuffer, .length = kMemorySize, .control = kHostToDevice}, kOk, kMemorySize);
    EXPECT_EQ(memory, bytes_of(kBuffer, kMemorySize));
}

TEST_F(Dma, NoAccessCrossesAPage) {
    start_engine();
    put_entry(0, kBuffer + 100, 20'000);
    execute({.source = kLists,
             .destination = kOther + 4000,
             .length = 20'000,
             .sg_count = 1,
             .control = kHostToHost | kSourceSg});
    for (const auto& access : accesses) {
        EXPECT_EQ(access.address / 4096, (access.address + access.length - 1) / 4096) << std::hex << access.address;
    }
}

// --- scatter-gather ---

TEST_F(Dma, GathersAndScattersPiecesOfAnySize) {
    start_engine();
    number(host.at(kBuffer, kBufferSize), kBufferSize);
    // 10 + 1 + 9000 + 5000 bytes into pieces of 1, 7000, 7010: no boundary falls on another.
    const auto to = kLists + 4096;
    put_entry(0, kBuffer, 10);
    put_entry(1, kBuffer + 4095, 1);
    put_entry(2, kBuffer + 10'000, 9000);
    put_entry(3, kBuffer + 30'001, 5000);
    put_entry(0, kOther + 9, 1, to);
    put_entry(1, kOther + 100, 7000, to);
    put_entry(2, kOther + 20'000, 8000, to);
    expect_code({.source = kLists,
                 .destination = to,
                 .length = 14'011,
                 .sg_count = 4 | destination_count(3),
                 .control = kHostToHost | kSourceSg | kDestinationSg},
                kOk, 14'011);
    Bytes expected;
    for (auto [at, size] :
         {std::pair{kBuffer, 10}, {kBuffer + 4095, 1}, {kBuffer + 10'000, 9000}, {kBuffer + 30'001, 5000}}) {
        const auto piece = bytes_of(at, static_cast<std::size_t>(size));
        expected.insert(expected.end(), piece.begin(), piece.end());
    }
    auto got = bytes_of(kOther + 9, 1);
    for (auto [at, size] : {std::pair{kOther + 100, 7000}, {kOther + 20'000, 7010}}) {
        const auto piece = bytes_of(at, static_cast<std::size_t>(size));
        got.insert(got.end(), piece.begin(), piece.end());
    }
    EXPECT_EQ(got, expected);
    EXPECT_EQ(*host.at(kOther + 20'000 + 7010, 1), 0) << "wrote beyond LENGTH because the list is longer";
}

TEST_F(Dma, ListsOfMaximumLength) {
    start_engine();
    number(host.at(kBuffer, kBufferSize), kBufferSize);
    for (unsigned i = 0; i < PCIENIC_MAX_SG_ENTRIES; ++i) put_entry(i, kBuffer + i * 100, 3);
    expect_code({.source = kLists,
                 .destination = 0,
                 .length = PCIENIC_MAX_SG_ENTRIES * 3,
                 .sg_count = PCIENIC_MAX_SG_ENTRIES,
                 .control = kHostToDevice | kSourceSg},
                kOk, PCIENIC_MAX_SG_ENTRIES * 3);
    for (unsigned i = 0; i < PCIENIC_MAX_SG_ENTRIES * 3; ++i) {
        ASSERT_EQ(memory[i], *host.at(kBuffer + i / 3 * 100 + i % 3, 1)) << i;
    }
}

TEST_F(Dma, ListsMayCrossAPage) {
    start_engine();
    const auto list = kLists + 4096 - PCIENIC_SG_ENTRY_SIZE - 8;  // not even aligned to its entries
    put_entry(0, kBuffer, 1, list);
    put_entry(1, kBuffer + 1, 1, list);
    put_entry(2, kBuffer + 2, 1, list);
    number(host.at(kBuffer, 3), 3, 9);
    expect_code({.source = list, .destination = 0, .length = 3, .sg_count = 3, .control = kHostToDevice | kSourceSg},
                kOk, 3);
    EXPECT_EQ(Bytes(memory.begin(), memory.begin() + 3), bytes_of(kBuffer, 3));
}

TEST_F(Dma, BadLists) {
    start_engine();
    const auto run = [&](std::uint32_t counts, std::uint32_t control, std::uint32_t length = 100) {
        expect_code({.source = kLists, .destination = kLists, .length = length, .sg_count = counts, .control = control},
                    PCIENIC_COMPLETION_STATUS_CODE_BAD_SG);
    };
    put_entry(0, kBuffer, 50);
    put_entry(1, kBuffer, 49);
    run(0, kHostToHost | kSourceSg);                                                   // no entries
    run(PCIENIC_MAX_SG_ENTRIES + 1, kHostToHost | kSourceSg);                          // too many
    run(destination_count(0xffff) | 1, kHostToHost | kSourceSg | kDestinationSg, 50);  // too many
    run(2, kHostToHost | kSourceSg);                                                   // one byte too short
    run(2, kHostToHost);                                                               // entries without a list
    run(destination_count(1), kHostToHost);
    run(1, kNop);
    put_entry(1, kBuffer, 0);
    put_entry(2, kBuffer, 500);
    run(3, kHostToHost | kSourceSg);  // an empty entry
    EXPECT_EQ(bytes_of(kBuffer, 100), Bytes(100)) << "a refused command moved something";
}

TEST_F(Dma, AListOfHugeEntriesDoesNotWrapTheSum) {
    start_engine();
    for (unsigned i = 0; i < 2; ++i) put_entry(i, kBuffer, 0x80000000u);  // together 2^32
    expect_code({.source = kLists, .destination = 0, .length = 10, .sg_count = 2, .control = kHostToDevice | kSourceSg},
                kOk, 10);
}

TEST_F(Dma, ReservedWordOfAnEntry) {
    start_engine();
    put_entry(0, kBuffer, 100);
    host.put(kLists + PCIENIC_SG_ENTRY_RESERVED_OFFSET, std::uint32_t{1});
    expect_code({.source = kLists, .length = 100, .sg_count = 1, .control = kHostToDevice | kSourceSg},
                PCIENIC_COMPLETION_STATUS_CODE_BAD_FLAGS);
}

TEST_F(Dma, AListThatCannotBeRead) {
    start_engine();
    const Descriptor d{.source = 0xbad000, .length = 100, .sg_count = 1, .control = kHostToDevice | kSourceSg};
    expect_code(d, PCIENIC_COMPLETION_STATUS_CODE_SG_FAULT, 0xbad000);
    auto second_page = d;
    second_page.source = kLists + 2 * 4096 - 16;
    second_page.sg_count = 2;
    expect_code(second_page, PCIENIC_COMPLETION_STATUS_CODE_SG_FAULT, kLists + 2 * 4096);
    auto top = d;
    top.source = ~std::uint64_t{0} - 15;
    top.sg_count = 2;
    expect_code(top, PCIENIC_COMPLETION_STATUS_CODE_SG_FAULT, top.source);
}

// --- the other status codes ---

TEST_F(Dma, BadOpcode) {
    start_engine();
    for (unsigned opcode : {6u, 7u, 0x80u, 0xffu})
        expect_code({.length = 1, .control = opcode}, PCIENIC_COMPLETION_STATUS_CODE_BAD_OPCODE);
}

TEST_F(Dma, ZeroLength) {
    start_engine();
    for (auto opcode : {kHostToDevice, kDeviceToHost, kHostToHost, kFillHost, kFillDevice}) {
        expect_code({.source = kBuffer, .destination = kOther, .control = opcode},
                    PCIENIC_COMPLETION_STATUS_CODE_ZERO_LENGTH);
    }
}

TEST_F(Dma, BadFlags) {
    start_engine();
    const auto run = [&](std::uint32_t control) {
        expect_code({.source = kBuffer,
                     .destination = kOther,
                     .length = 1,
                     .sg_count = 1 | destination_count(1),
                     .control = control},
                    PCIENIC_COMPLETION_STATUS_CODE_BAD_FLAGS);
    };
    for (unsigned bit : {11u, 12u, 15u, 28u, 29u, 30u}) run(kHostToHost | 1u << bit);
    run(kHostToDevice | kDestinationSg);
    run(kDeviceToHost | kSourceSg);
    run(kFillHost | kSourceSg);
    run(kFillDevice | kSourceSg);
    run(kFillDevice | kDestinationSg);
    run(kNop | kSourceSg);
    run(kNop | kDestinationSg);
}

TEST_F(Dma, DeviceRange) {
    start_engine();
    const auto run = [&](std::uint64_t offset, std::uint32_t length) {
        expect_code({.source = kBuffer, .destination = offset, .length = length, .control = kHostToDevice},
                    PCIENIC_COMPLETION_STATUS_CODE_DEVICE_RANGE, offset);
        expect_code({.source = offset, .destination = kBuffer, .length = length, .control = kDeviceToHost},
                    PCIENIC_COMPLETION_STATUS_CODE_DEVICE_RANGE, offset);
        expect_code({.destination = offset, .length = length, .control = kFillDevice},
                    PCIENIC_COMPLETION_STATUS_CODE_DEVICE_RANGE, offset);
    };
    run(kMemorySize, 1);
    run(kMemorySize - 1, 2);
    run(0, kMemorySize + 1);
    run(0, 0xffffffff);
    run(~std::uint64_t{0}, 1);
    run(~std::uint64_t{0} - 0xfffffffe, 0xffffffff);
    run(std::uint64_t{1} << 63, 0x80000000);
    expect_code({.source = kBuffer, .destination = kMemorySize - 1, .length = 1, .control = kHostToDevice}, kOk, 1);
}

TEST_F(Dma, SourceFaultNamesThePageThatFailed) {
    start_engine();
    number(host.at(kBuffer, kBufferSize), kBufferSize);
    const auto start = kBuffer + kBufferSize - 5000;
    expect_code({.source = start, .destination = 0, .length = 9000, .control = kHostToDevice},
                PCIENIC_COMPLETION_STATUS_CODE_SOURCE_FAULT, kBuffer + kBufferSize);
    EXPECT_EQ(Bytes(memory.begin(), memory.begin() + 5000), bytes_of(start, 5000));
    expect_code({.source = 0xbad008, .destination = kOther, .length = 1, .control = kHostToHost},
                PCIENIC_COMPLETION_STATUS_CODE_SOURCE_FAULT, 0xbad008);
}

TEST_F(Dma, DestinationFaultNamesThePageThatFailed) {
    start_engine();
    const auto start = kBuffer + kBufferSize - 5000;
    expect_code({.source = 0, .destination = start, .length = 9000, .control = kDeviceToHost},
                PCIENIC_COMPLETION_STATUS_CODE_DESTINATION_FAULT, kBuffer + kBufferSize);
    expect_code({.source = kOther, .destination = 0xbad008, .length = 1, .control = kHostToHost},
                PCIENIC_COMPLETION_STATUS_CODE_DESTINATION_FAULT, 0xbad008);
    expect_code({.source = 1, .destination = 0xbad008, .length = 1, .control = kFillHost},
                PCIENIC_COMPLETION_STATUS_CODE_DESTINATION_FAULT, 0xbad008);
}

TEST_F(Dma, AddressesDoNotWrap) {
    start_engine();
    const auto top = ~std::uint64_t{0} - 99;
    expect_code({.source = top, .destination = 0, .length = 101, .control = kHostToDevice},
                PCIENIC_COMPLETION_STATUS_CODE_SOURCE_FAULT, top);
    expect_code({.source = 0, .destination = top, .length = 0xffffffff, .control = kFillHost},
                PCIENIC_COMPLETION_STATUS_CODE_DESTINATION_FAULT, top);
    put_entry(0, top, 101);
    expect_code({.source = kLists, .destination = 0, .length = 1, .sg_count = 1, .control = kHostToDevice | kSourceSg},
                PCIENIC_COMPLETION_STATUS_CODE_SOURCE_FAULT, top);
    host.map(top - 0xf9c, 4096);  // the last page of all
    expect_code({.source = top, .destination = 0, .length = 100, .control = kHostToDevice}, kOk, 100);
}

TEST_F(Dma, BadVectorIsNotRun) {
    start_engine();
    expect_code(
        {.source = 0xff, .destination = kBuffer, .length = 8, .control = kFillHost | kInterrupt | vector_bits(32)},
        PCIENIC_COMPLETION_STATUS_CODE_BAD_VECTOR);
    EXPECT_EQ(*host.at(kBuffer, 1), 0);
    EXPECT_EQ(cause(), 0u);
    // Without INTERRUPT the number means nothing.
    expect_code({.control = kNop | vector_bits(4095)}, kOk);
    expect_nothing_latched();
}

// --- completions and their interrupts ---

TEST_F(Dma, InterruptComesAfterTheCompletion) {
    start_engine();
    pcienic_core_set_irq_mode(core.get(), PCIENIC_IRQ_MSIX, 32);
    unsigned seen = 0;
    on_message = [&](unsigned vector) {
        EXPECT_EQ(vector, 9u);
        EXPECT_TRUE(completion(seen).phase());
        ++seen;
    };
    execute({.control = kNop | kInterrupt | vector_bits(9)});
    execute({.length = 1, .control = 0x55 | kInterrupt | vector_bits(9)});  // an error is worth an interrupt, too
    EXPECT_EQ(seen, 2u);
}

TEST_F(Dma, AVectorThatIsNotEnabledIsLatchedAndTheCommandRuns) {
    start_engine();
    pcienic_core_set_irq_mode(core.get(), PCIENIC_IRQ_MSI, 4);
    expect_code({.control = kNop | kInterrupt | vector_bits(5)}, kOk);
    expect_latched(PCIENIC_ERR_CODE_CODE_BAD_VECTOR, 5);
}

TEST_F(Dma, StatusIsWrittenLastAndByItself) {
    start_engine();
    put_descriptor({.tag = 1, .control = kNop});
    doorbell();
    run_all();
    std::vector<DmaAccess> writes;
    std::copy_if(accesses.begin(), accesses.end(), std::back_inserter(writes), [](auto& a) { return a.write; });
    ASSERT_EQ(writes.size(), 2u);
    EXPECT_EQ(writes[0].address, kCompletions);
    EXPECT_EQ(writes[0].length, PCIENIC_COMPLETION_STATUS_OFFSET);
    EXPECT_EQ(writes[1].address, kCompletions + PCIENIC_COMPLETION_STATUS_OFFSET);
    EXPECT_EQ(writes[1].length, 4u);
}

TEST_F(Dma, RingsOfEverySizeWrapAndTurnThePhase) {
    for (unsigned log2 = PCIENIC_RING_MIN_LOG2; log2 <= PCIENIC_RING_MAX_LOG2; ++log2) {
        init(32);
        start_engine(log2);
        const unsigned entries = 1u << log2;
        for (unsigned i = 0; i < 3 * entries; ++i) {
            const auto done = execute({.tag = i, .control = kNop});
            ASSERT_EQ(done.code(), kOk);
            ASSERT_EQ(done.index(), i % entries);
            ASSERT_EQ(done.phase(), i / entries % 2 == 0);
        }
        EXPECT_EQ(read64(PCIENIC_REG_DMA_COMPLETED), 3u * entries);
        EXPECT_EQ(dma_head(), 0u);
    }
}

TEST_F(Dma, OneDoorbellForAFullRing) {
    start_engine(4);
    for (unsigned i = 0; i < 16; ++i) put_descriptor({.tag = 100 + i, .control = kNop});
    doorbell();
    run_all();
    for (unsigned i = 0; i < 16; ++i) EXPECT_EQ(completion(i).tag, 100 + i);
    EXPECT_EQ(read64(PCIENIC_REG_DMA_COMPLETED), 16u);
}

TEST_F(Dma, TheDoorbellOnlySchedules) {
    start_engine();
    put_descriptor({.control = kNop});
    doorbell();
    EXPECT_THAT(accesses, IsEmpty());
    EXPECT_TRUE(scheduled);
    EXPECT_EQ(dma_state(), PCIENIC_DMA_STATUS_STATE_BUSY);
    EXPECT_NE(read32(PCIENIC_REG_STATUS) & PCIENIC_STATUS_DMA_BUSY_MASK, 0u);
}

TEST_F(Dma, AnEightByteDoorbellRingsAndReportsItsSecondHalf) {
    start_engine();
    put_descriptor({.control = kNop});
    write64(PCIENIC_DOORBELL_DMA_DOORBELL, 0);
    run_all();
    EXPECT_EQ(completion(0).code(), kOk);
    expect_latched(PCIENIC_ERR_CODE_CODE_BAD_OFFSET, PCIENIC_DOORBELL_DMA_DOORBELL + 4);
}

TEST_F(Dma, AnEmptyRingComesToRest) {
    start_engine();
    doorbell();
    run_all();
    EXPECT_EQ(accesses.size(), 1u);
    EXPECT_EQ(dma_state(), PCIENIC_DMA_STATUS_STATE_IDLE);
}

TEST_F(Dma, ADoorbellWhileTheRingIsFoundEmptyIsNotLost) {
    start_engine();
    doorbell();
    on_dma = [&](const DmaAccess& access) {
        if (access.write || tail) return;
        // The device is about to read an empty ring: what it reads is from before, the doorbell from after.
        auto stale = bytes_of(kRing, PCIENIC_DESCRIPTOR_SIZE);
        put_descriptor({.tag = 3, .control = kNop});
        doorbell();
        std::copy(stale.begin(), stale.end(), host.at(kRing, stale.size()));
        on_dma = [this](const DmaAccess&) { write_descriptor(0, {.tag = 3, .control = kNop}, true); };
    };
    run_all();
    EXPECT_EQ(completion(0).tag, 3u);
    EXPECT_TRUE(completion(0).phase());
}

TEST_F(Dma, ADoorbellWhileDisabledDoesNothing) {
    map_everything();
    configure_ring(4);
    doorbell();
    EXPECT_FALSE(scheduled);
    EXPECT_EQ(dma_state(), PCIENIC_DMA_STATUS_STATE_DISABLED);
    expect_nothing_latched();
}

// --- a budget for each run ---

TEST_F(Dma, ALongCommandTakesSeveralRuns) {
    start_engine();
    put_descriptor({.source = kBuffer, .destination = kOther, .length = kBufferSize, .control = kHostToHost});
    doorbell();
    unsigned runs = 0;
    while (scheduled && runs < 1000) {
        scheduled = false;
        accesses.clear();
        pcienic_core_run(core.get());
        ++runs;
        std::size_t bytes = 0;
        for (const auto& access : accesses) bytes += access.length;
        EXPECT_LE(bytes, 1u << 20);
    }
    EXPECT_GT(runs, 3u);
    EXPECT_EQ(completion(0).detail, kBufferSize);
}

TEST_F(Dma, ARingThatRefillsItselfDoesNotKeepTheRunFromEnding) {
    start_engine(1);
    on_dma = [this](const DmaAccess& access) {
        if (!access.write) {
            const auto index = static_cast<unsigned>((access.address - kRing) / PCIENIC_DESCRIPTOR_SIZE);
            write_descriptor(index, {.control = kNop}, core->dma.phase);
        }
    };
    doorbell();
    for (int run = 0; run < 5; ++run) {
        scheduled = false;
        accesses.clear();
        pcienic_core_run(core.get());
        EXPECT_TRUE(scheduled);
        EXPECT_LT(accesses.size(), 10'000u);
    }
    write32(PCIENIC_REG_DMA_CTRL, 0);
    run_all();
    EXPECT_EQ(dma_state(), PCIENIC_DMA_STATUS_STATE_DISABLED);
}

TEST_F(Dma, ListsOfSingleBytesAreBoundedLikeAnythingElse) {
    start_engine();
    for (unsigned i = 0; i < PCIENIC_MAX_SG_ENTRIES; ++i) put_entry(i, kBuffer + i, 1);
    for (unsigned i = 0; i < 15; ++i) {
        put_descriptor({.source = kLists, .length = 256, .sg_count = 256, .control = kHostToDevice | kSourceSg});
    }
    doorbell();
    scheduled = false;
    pcienic_core_run(core.get());
    EXPECT_TRUE(scheduled);
    EXPECT_LT(accesses.size(), 2000u);
    run_all();
    EXPECT_EQ(read64(PCIENIC_REG_DMA_COMPLETED), 15u);
}

// What was read counts, and not what came of it.
TEST_F(Dma, ListsThatAreRefusedAreBoundedLikeAnythingElse) {
    struct Case {
        const char* what;
        std::uint32_t last_length;
        std::uint32_t last_reserved;
        std::uint64_t list;
        unsigned code;
    };
    for (const auto& c :
         {Case{"too short", 1, 0, kLists, PCIENIC_COMPLETION_STATUS_CODE_BAD_SG},
          Case{"an empty entry", 0, 0, kLists, PCIENIC_COMPLETION_STATUS_CODE_BAD_SG},
          Case{"reserved bits", 1, 1, kLists, PCIENIC_COMPLETION_STATUS_CODE_BAD_FLAGS},
          Case{"an end that cannot be read", 1, 0, kLists + 4096 + 16, PCIENIC_COMPLETION_STATUS_CODE_SG_FAULT}}) {
        SCOPED_TRACE(c.what);
        init(32);
        start_engine(12);
        for (unsigned i = 0; i < PCIENIC_MAX_SG_ENTRIES; ++i) put_entry(i, kBuffer + i, 1);
        const auto last = kLists + (PCIENIC_MAX_SG_ENTRIES - 1) * PCIENIC_SG_ENTRY_SIZE;
        host.put(last + PCIENIC_SG_ENTRY_LENGTH_OFFSET, c.last_length);
        host.put(last + PCIENIC_SG_ENTRY_RESERVED_OFFSET, c.last_reserved);
        for (unsigned i = 0; i < 4095; ++i) {
            put_descriptor({.source = c.list,
                            .destination = c.list,
                            .length = 1000,
                            .sg_count = 256 | destination_count(256),
                            .control = kHostToHost | kSourceSg | kDestinationSg});
        }
        doorbell();
        scheduled = false;
        accesses.clear();
        pcienic_core_run(core.get());
        std::size_t bytes = 0;
        for (const auto& access : accesses) bytes += access.length;
        EXPECT_LE(bytes, 512u << 10);
        EXPECT_TRUE(scheduled);
        EXPECT_EQ(completion(0).code(), c.code);
    }
}

TEST_F(Dma, ARunInsideARunDoesNothing) {
    start_engine();
    put_descriptor({.tag = 1, .control = kNop});
    put_descriptor({.tag = 2, .control = kNop});
    on_dma = [this](const DmaAccess&) { pcienic_core_run(core.get()); };
    doorbell();
    run_all();
    EXPECT_EQ(read64(PCIENIC_REG_DMA_COMPLETED), 2u);
}

// --- time of check, time of use ---

TEST_F(Dma, ADescriptorIsReadOnce) {
    start_engine();
    number(host.at(kBuffer, kBufferSize), kBufferSize);
    put_descriptor({.source = kBuffer, .destination = 64, .length = 10'000, .tag = 6, .control = kHostToDevice});
    on_dma = [this](const DmaAccess& access) {
        if (access.address - kRing >=
            PCIENIC_DESCRIPTOR_SIZE) {  // whatever comes after the fetch finds another descriptor there
            write_descriptor(0, {.source = 0xbad000, .destination = ~0ull, .length = ~0u, .tag = 7, .control = 0xff},
                             true);
        }
    };
    doorbell();
    run_all();
    EXPECT_EQ(completion(0).code(), kOk);
    EXPECT_EQ(completion(0).tag, 6u);
    EXPECT_EQ(Bytes(memory.begin() + 64, memory.begin() + 64 + 10'000), bytes_of(kBuffer, 10'000));
}

TEST_F(Dma, AListIsReadOnce) {
    start_engine();
    put_entry(0, kBuffer, 5000);
    put_entry(1, kBuffer + 10'000, 5000);
    put_descriptor({.source = kLists, .length = 10'000, .sg_count = 2, .control = kHostToDevice | kSourceSg});
    on_dma = [this](const DmaAccess& access) {
        if (access.address >= kBuffer) put_entry(1, 0xbad000, 0xffffffff);
    };
    doorbell();
    run_all();
    EXPECT_EQ(completion(0).code(), kOk);
}

// --- faults that stop the queue ---

TEST_F(Dma, AnUnreadableDescriptorStopsTheQueue) {
    start_engine();
    execute({.control = kNop});
    host.unmap(kRing);
    doorbell();
    run_all();
    EXPECT_EQ(dma_state(), PCIENIC_DMA_STATUS_STATE_STOPPED);
    EXPECT_EQ(dma_head(), 1u);
    expect_latched(PCIENIC_ERR_CODE_CODE_DESCRIPTOR_FAULT, kRing + PCIENIC_DESCRIPTOR_SIZE);
    EXPECT_FALSE(pcienic_core_busy(core.get()));
}

TEST_F(Dma, AnUnwritableCompletionStopsTheQueue) {
    start_engine();
    host.unmap(kCompletions);
    put_descriptor({.control = kNop | kInterrupt});
    put_descriptor({.control = kNop});
    doorbell();
    run_all();
    EXPECT_EQ(dma_state(), PCIENIC_DMA_STATUS_STATE_STOPPED);
    expect_latched(PCIENIC_ERR_CODE_CODE_COMPLETION_FAULT, kCompletions);
    EXPECT_EQ(read64(PCIENIC_REG_DMA_COMPLETED), 0u);
    EXPECT_EQ(cause(), 0u) << "an interrupt for a completion that is not there";
}

TEST_F(Dma, AStoppedQueueStaysStoppedUntilItIsEnabledAnew) {
    start_engine();
    host.unmap(kRing);
    doorbell();
    run_all();
    host.map(kRing, 4096);
    accesses.clear();
    doorbell();
    run_all();
    write32(PCIENIC_REG_DMA_CTRL, PCIENIC_DMA_CTRL_ENABLE_MASK);  // was set all along: no edge
    EXPECT_EQ(dma_state(), PCIENIC_DMA_STATUS_STATE_STOPPED);
    EXPECT_THAT(accesses, IsEmpty());
    write32(PCIENIC_REG_DMA_CTRL, 0);
    EXPECT_EQ(dma_state(), PCIENIC_DMA_STATUS_STATE_DISABLED);
    enable();
    EXPECT_EQ(execute({.control = kNop}).code(), kOk);
}

TEST_F(Dma, BusMasterOffBeforeTheFetchStopsTheQueue) {
    start_engine();
    put_descriptor({.control = kNop});
    bus_master = false;
    doorbell();
    run_all();
    EXPECT_EQ(dma_state(), PCIENIC_DMA_STATUS_STATE_STOPPED);
    expect_latched(PCIENIC_ERR_CODE_CODE_DESCRIPTOR_FAULT, kRing);
    EXPECT_THAT(accesses, IsEmpty());
}

TEST_F(Dma, BusMasterOffInMidCommandStopsTheQueue) {
    start_engine();
    put_descriptor({.source = kBuffer, .destination = kOther, .length = kBufferSize, .control = kHostToHost});
    doorbell();
    pcienic_core_run(core.get());
    bus_master = false;
    accesses.clear();
    run_all();
    EXPECT_EQ(dma_state(), PCIENIC_DMA_STATUS_STATE_STOPPED);
    expect_latched(PCIENIC_ERR_CODE_CODE_COMPLETION_FAULT, kCompletions);
    EXPECT_THAT(accesses, IsEmpty());
}

// --- enabling, disabling, locking ---

TEST_F(Dma, ARingThatBreaksTheRulesIsRefused) {
    map_everything();
    struct Case {
        std::uint64_t ring, completions;
        std::uint32_t log2;
        std::uint32_t offending;
    };
    for (const auto& c : {Case{kRing, kCompletions, 0, PCIENIC_REG_DMA_RING_SIZE},
                          Case{kRing, kCompletions, 13, PCIENIC_REG_DMA_RING_SIZE},
                          Case{kRing, kCompletions, 15, PCIENIC_REG_DMA_RING_SIZE},
                          Case{kRing + 32, kCompletions, 4, PCIENIC_REG_DMA_RING_BASE},
                          Case{kRing, kCompletions + 16, 4, PCIENIC_REG_DMA_COMPLETION_BASE},
                          Case{~0ull - 63, kCompletions, 4, PCIENIC_REG_DMA_RING_BASE},
                          Case{kRing, ~0ull - 63, 4, PCIENIC_REG_DMA_COMPLETION_BASE}}) {
        init(32);
        errors.clear();
        write64(PCIENIC_REG_DMA_RING_BASE, c.ring);
        write64(PCIENIC_REG_DMA_COMPLETION_BASE, c.completions);
        write32(PCIENIC_REG_DMA_RING_SIZE, c.log2);
        enable();
        expect_latched(PCIENIC_ERR_CODE_CODE_BAD_CONFIG, c.offending);
        EXPECT_EQ(read32(PCIENIC_REG_DMA_CTRL), 0u);
        EXPECT_EQ(dma_state(), PCIENIC_DMA_STATUS_STATE_DISABLED);
    }
}

TEST_F(Dma, ARingThatEndsWithTheLastByteIsAllowed) {
    init(32);
    write64(PCIENIC_REG_DMA_RING_BASE, ~0ull - 63);
    write64(PCIENIC_REG_DMA_COMPLETION_BASE, ~0ull - 63);
    write32(PCIENIC_REG_DMA_RING_SIZE, 1);
    enable();
    EXPECT_EQ(dma_state(), PCIENIC_DMA_STATUS_STATE_IDLE);
    expect_nothing_latched();
}

TEST_F(Dma, RingRegistersAreLockedWhileEnabled) {
    start_engine();
    for (auto offset : {PCIENIC_REG_DMA_RING_BASE, PCIENIC_REG_DMA_RING_BASE + 4, PCIENIC_REG_DMA_COMPLETION_BASE,
                        PCIENIC_REG_DMA_COMPLETION_BASE + 4, PCIENIC_REG_DMA_RING_SIZE}) {
        write32(PCIENIC_REG_ERR_STATUS, 3);
        write32(offset, 0);
        expect_latched(PCIENIC_ERR_CODE_CODE_LOCKED, offset);
    }
    EXPECT_EQ(read64(PCIENIC_REG_DMA_RING_BASE), kRing);
    EXPECT_EQ(read64(PCIENIC_REG_DMA_COMPLETION_BASE), kCompletions);
    EXPECT_EQ(read32(PCIENIC_REG_DMA_RING_SIZE), 4u);
    write32(PCIENIC_REG_DMA_CTRL, 0);
    write64(PCIENIC_REG_DMA_RING_BASE, 0x1000);
    EXPECT_EQ(read64(PCIENIC_REG_DMA_RING_BASE), 0x1000u);
}

TEST_F(Dma, DisablingDropsWhatIsInFlight) {
    start_engine();
    put_descriptor({.source = kBuffer, .destination = kOther, .length = kBufferSize, .control = kHostToHost});
    doorbell();
    pcienic_core_run(core.get());
    write32(PCIENIC_REG_DMA_CTRL, 0);
    accesses.clear();
    run_all();
    EXPECT_THAT(accesses, IsEmpty());
    EXPECT_EQ(completion(0).status, 0u);
    EXPECT_EQ(read64(PCIENIC_REG_DMA_COMPLETED), 0u);
    enable();
    EXPECT_EQ(execute({.tag = 1, .control = kNop}).index(), 0u) << "an enabled engine starts at index 0";
}

TEST_F(Dma, ErrorsInARowDoNotDisturbTheirNeighbours) {
    start_engine();
    std::vector<unsigned> expected;
    for (unsigned i = 0; i < 15; ++i) {
        if (i % 3 == 0) {
            put_descriptor({.source = 0xbad000, .destination = kOther, .length = 10, .control = kHostToHost});
            expected.push_back(PCIENIC_COMPLETION_STATUS_CODE_SOURCE_FAULT);
        } else {
            put_descriptor({.source = kBuffer, .destination = kOther, .length = 10, .control = kHostToHost});
            expected.push_back(kOk);
        }
    }
    doorbell();
    run_all();
    for (unsigned i = 0; i < 15; ++i) EXPECT_EQ(completion(i).code(), expected[i]) << i;
    expect_nothing_latched();
}

}  // namespace
}  // namespace pcienic::test
