// SPDX-License-Identifier: MIT
//
// pcienic-bench on the real VFIO device: that each of its groups measures what it says it does, and what is counted.
// What anything took is not looked at: that is the machine's.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdio>
#include <nlohmann/json.hpp>
#include <string>

namespace pcienic::test {
namespace {

using nlohmann::json;
using testing::IsEmpty;
using testing::IsSupersetOf;

/// The run's groups by name. Ends with an empty object where the program failed.
json bench(const std::string& subject) {
    std::string text;
    FILE* pipe = ::popen(("pcienic-bench run --quick --json --only " + subject).c_str(), "re");
    if (pipe == nullptr) return json::object();
    char buffer[4096];
    while (const std::size_t size = std::fread(buffer, 1, sizeof(buffer), pipe)) text.append(buffer, size);
    EXPECT_EQ(::pclose(pipe), 0) << text;
    const json document = json::parse(text, nullptr, false);
    if (document.is_discarded()) {
        ADD_FAILURE() << text;
        return json::object();
    }
    EXPECT_EQ(document["schema"], "pcienic.bench/1");
    EXPECT_EQ(document["runs"].size(), 1u);
    json groups = json::object();
    for (const json& group : document["runs"][0]["groups"]) groups[group["name"].get<std::string>()] = group;
    return groups;
}

std::vector<std::string> names(const json& group) {
    std::vector<std::string> names;
    for (const json& series : group["series"]) names.push_back(series["name"]);
    return names;
}

void expect_sound(const json& group) {
    for (const json& series : group["series"]) {
        SCOPED_TRACE(group["name"].get<std::string>() + ", " + series["name"].get<std::string>());
        EXPECT_GT(series["ns"]["count"], 0);
        EXPECT_GT(series["ns"]["p50"], 0);
        if (series.value("must_not_allocate", false)) {
            EXPECT_EQ(series["allocations"], 0);
        }
    }
}

json calls_of(const json& group, const std::string& name) {
    for (const json& series : group["series"])
        if (series["name"] == name) return series["system_calls"];
    return nullptr;
}

TEST(Bench, RegistersInEveryWay) {
    const json groups = bench("registers");
    for (const char* name : {"registers.read", "registers.write"}) {
        const json group = groups.value(name, json::object());
        EXPECT_THAT(names(group), IsSupersetOf({"raw pointer", "typed register", "typed register, checked window",
                                                "libpciaccess", "pread and pwrite"}));
        EXPECT_THAT(group["skipped"], IsEmpty());
        expect_sound(group);
    }
}

TEST(Bench, ConfigurationSpaceInEveryWay) {
    const json group = bench("config").value("config.read", json::object());
    EXPECT_THAT(names(group),
                IsSupersetOf({"pread by hand", "ConfigSpace::read32", "sysfs, pread of config", "libpciaccess"}));
    expect_sound(group);
}

TEST(Bench, InterruptsInEveryWay) {
    const json groups = bench("interrupts");
    for (const char* name : {"interrupts.wake", "interrupts.find"}) {
        const json group = groups.value(name, json::object());
        EXPECT_THAT(names(group), IsSupersetOf({"blocking read", "Interrupts::wait", "epoll loop", "Asio callback",
                                                "Asio coroutine", "busy poll"}));
        expect_sound(group);
    }
    const json wake = groups.value("interrupts.wake", json::object());
    EXPECT_THAT(wake["skipped"], IsEmpty());
    EXPECT_THAT(names(wake), IsSupersetOf({"blocking read, fired by VFIO_DEVICE_SET_IRQS",
                                           "UIO, blocking read of its node", "UIO, Interrupts::wait"}));
    // What a wake-up asks of the kernel, which no machine changes.
    EXPECT_EQ(calls_of(wake, "blocking read"), (json{{"read", 1}}));
    EXPECT_EQ(calls_of(wake, "epoll loop"), (json{{"epoll_wait", 1}, {"read", 1}}));
    EXPECT_EQ(calls_of(wake, "Asio coroutine"), (json{{"epoll_wait", 1}, {"read", 2}}));
}

TEST(Bench, MappingByPageSize) {
    const json groups = bench("mapping");
    for (const char* name : {"mapping.map", "mapping.unmap"}) {
        const json group = groups.value(name, json::object());
        EXPECT_THAT(names(group), IsSupersetOf({"vfio, 4 KiB pages", "vfio, 2 MiB pages"}));
        expect_sound(group);
    }
}

TEST(Bench, DmaBySizeAndBatch) {
    const json groups = bench("dma");
    expect_sound(groups.value("dma.copy", json::object()));
    expect_sound(groups.value("dma.batch", json::object()));
    EXPECT_EQ(groups["dma.batch"]["series"].size(), 6u);
}

TEST(Bench, OpeningByHandAndByTheLibrary) {
    const json group = bench("open").value("open.ready", json::object());
    EXPECT_THAT(names(group), IsSupersetOf({"VFIO's ioctls by hand", "Device::open, vfio"}));
    expect_sound(group);
}

}  // namespace
}  // namespace pcienic::test
