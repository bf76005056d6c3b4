// SPDX-License-Identifier: MIT
/// Removal as it should be: asked for, answered, and done over and over without a trace.

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <ostream>
#include <string>

#include "running_driver.hpp"
#include "slot.hpp"

// Of AddressSanitizer's runtime: its <sanitizer/allocator_interface.h>, which gcc 12 does not install.
extern "C" std::size_t __sanitizer_get_current_allocated_bytes();

namespace pcienic::test {
namespace {

/// What the process holds.
struct Held {
    std::size_t heap_bytes = 0;
    std::size_t files = 0;
    std::size_t mapped_files = 0;  ///< of BARs, and of what stands in for them
    unsigned long locked_kib = 0;  ///< memory that is pinned for DMA

    static Held count() {
        Held held;
        for ([[maybe_unused]] const auto& file : std::filesystem::directory_iterator{"/proc/self/fd"}) ++held.files;
        std::ifstream maps{"/proc/self/maps"};
        for (std::string line; std::getline(maps, line);)
            if (line.find("anon_inode:") != std::string::npos || line.find("memfd:") != std::string::npos)
                ++held.mapped_files;
        std::ifstream status{"/proc/self/status"};
        for (std::string line; std::getline(status, line);)
            if (line.starts_with("VmLck:")) held.locked_kib = std::stoul(line.substr(line.find(':') + 1));
        held.heap_bytes = __sanitizer_get_current_allocated_bytes();  // last: what is above has its own
        return held;
    }
    bool operator==(const Held&) const = default;
    friend std::ostream& operator<<(std::ostream& out, const Held& held) {
        return out << held.heap_bytes << " bytes of heap, " << held.files << " files, " << held.mapped_files
                   << " mapped, " << held.locked_kib << " KiB locked";
    }
};

}  // namespace

TEST(HotPlug, LeavesNothingBehindIn200CyclesWithADriverAtWork) {
    constexpr int kCycles = 200;
    constexpr int kFirst = 10;  // until every cache that the process keeps is filled
    Slot slot{0};
    Held first;
    for (int cycle = 0; cycle < kCycles; ++cycle) {
        {
            RunningDriver running{slot.bdf()};
            running.work_until_removal_is_requested([&] { slot.request_removal(); });
            if (cycle % 2 == 0) running.stop();  // otherwise all of it ends at once, with the queue running
        }
        ASSERT_TRUE(slot.await_empty()) << "in cycle " << cycle;
        slot.plug_in();
        if (cycle == kFirst) first = Held::count();
    }
    EXPECT_EQ(Held::count(), first);
    expect_works(slot.bdf());
}

}  // namespace pcienic::test
