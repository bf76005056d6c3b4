// SPDX-License-Identifier: MIT
/// A device belongs to one process: neither a child of fork() nor a program that it starts gets a share of it.

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <array>
#include <filesystem>
#include <map>
#include <span>
#include <string>

#include "conformance.hpp"
#include "in_child.hpp"
#include "pages.hpp"

namespace uiovfio::conformance {

using test::in_child;

namespace {

/// Open files by number, with what each refers to.
std::map<int, std::string> open_files() {
    std::map<int, std::string> found;
    for (const auto& entry : std::filesystem::directory_iterator{"/proc/self/fd"}) {
        std::error_code gone;  // the one that lists the directory
        const auto target = std::filesystem::read_symlink(entry.path(), gone);
        if (!gone) found.emplace(std::stoi(entry.path().filename()), target.string());
    }
    std::erase_if(found, [](const auto& file) { return ::fcntl(file.first, F_GETFD) < 0; });
    return found;
}

/// Whether the process has memory there: asked of the kernel, which does not end the process for it.
bool is_there(std::span<const std::byte> bytes) {
    std::array<int, 2> channel{};
    if (::pipe2(channel.data(), O_CLOEXEC) != 0) return false;
    const bool there = ::write(channel[1], bytes.data(), 1) == 1;
    ::close(channel[0]);
    ::close(channel[1]);
    return there;
}

}  // namespace

class ConformanceProcess : public Conformance {};

TEST_F(ConformanceProcess, KeepsEveryFileFromProgramsThatItStarts) {
    device = Device{};  // closing alone leaves the eventfds with those who may still wait on them
    const auto before = open_files();
    device = open_device();
    const DmaBuffer buffer = device.can(Feature::dma) ? device.dma().allocate(kPage) : DmaBuffer{};
    auto& interrupts = device.interrupts();
    for (const InterruptMode mode : {InterruptMode::msix, InterruptMode::msi, InterruptMode::intx}) {
        if (interrupts.available(mode) == 0) continue;
        interrupts.enable(mode, 1);
        if (device.can(Feature::trigger)) {
            interrupts.trigger(0);
            interrupts.wait(0, kPatience);
        }
        std::size_t ours = 0;
        for (const auto& [number, target] : open_files()) {
            if (before.contains(number)) continue;
            ++ours;
            EXPECT_EQ(::fcntl(number, F_GETFD) & FD_CLOEXEC, FD_CLOEXEC) << target;
        }
        EXPECT_GE(ours, 1u) << "not even the vector's eventfd was seen";
        interrupts.disable();
    }
    device = Device{};
    EXPECT_EQ(open_files(), before);
}

TEST_F(ConformanceProcess, GivesAChildNoneOfItsMemory) {
    NEEDS(dma);
    const auto buffer = device.dma().allocate(kPage);
    const Pages pages{kPage};
    const auto childs = [](std::span<const std::byte> bytes) {
        return in_child([&] { return is_there(bytes) ? "there" : "not there"; });
    };
    EXPECT_EQ(childs(buffer.bytes()), "not there");
    EXPECT_EQ(childs(pages.bytes()), "there") << "this is what a child gets as a rule";
    const auto mapping = device.dma().map(pages.bytes());
    EXPECT_EQ(childs(pages.bytes()), "not there");
    EXPECT_TRUE(is_there(pages.bytes()));
}

TEST_F(ConformanceProcess, AChildsUseOfTheDeviceIsAnError) {
    NEEDS(dma);
    auto& interrupts = device.interrupts();
    interrupts.enable(InterruptMode::msix, 2);
    interrupts.trigger(1);
    const auto window = registers();
    auto buffer = device.dma().allocate(kPage);
    const auto said = [&](auto action) {
        return in_child([&]() -> std::string {
            action();
            return "it worked";
        });
    };
    for (const std::string& answer :
         {said([&] { (void)device.config().read16(0); }), said([&] { (void)device.bar(0).read<std::uint32_t>(0); }),
          said([&] { (void)device.bar(0).window(); }), said([&] { interrupts.wait(1, kAtOnce); }),
          said([&] { interrupts.trigger(0); }), said([&] { interrupts.disable(); }),
          said([&] { (void)device.dma().ranges(); }), said([&] { (void)device.dma().allocate(kPage); }),
          said([&] { (void)buffer.lease(); }), said([&] { device.reset(); })})
        EXPECT_THAT(answer, testing::StartsWith("forked: "));
    EXPECT_EQ(in_child([&] {
                  std::error_code ec;
                  interrupts.wait(1, kAtOnce, ec);
                  if (ec != Errc::forked) return "it waits";
                  if (interrupts.try_take(1) != 0) return "it takes an interrupt of its parent's";
                  if (device.is_open()) return "it is open";
                  if (window.load<std::uint32_t>(0) != ~0U) return "it reads a register";
                  window.store<std::uint32_t>(pcienic::regs::Scratch::kOffset, 1);
                  return "";
              }),
              "");
    EXPECT_EQ(interrupts.wait(1, kPatience), 1u);
}

// A child that ends in the ordinary way runs the destructors of what it inherited.
TEST_F(ConformanceProcess, AChildsEndLeavesTheDeviceAlone) {
    NEEDS(dma);
    auto& interrupts = device.interrupts();
    interrupts.enable(InterruptMode::msix, 2);
    const auto window = registers();
    pcienic::regs::Scratch::write(window, 0x5eed5eedU);
    auto buffer = device.dma().allocate(kPage);
    buffer.bytes()[0] = std::byte{42};
    EXPECT_EQ(in_child([&] {
                  // What the child has put where its parent has the buffer is the child's.
                  void* mine = ::mmap(buffer.bytes().data(), kPage, PROT_READ | PROT_WRITE,
                                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
                  if (mine != buffer.bytes().data()) return "there is memory at that address";
                  buffer = {};
                  device = {};
                  *static_cast<volatile std::byte*>(mine) = std::byte{1};
                  return "";
              }),
              "");
    EXPECT_TRUE(device.config().bus_master());
    EXPECT_EQ(pcienic::regs::Scratch::read(window).raw(), 0x5eed5eedU);
    fire(1);
    EXPECT_EQ(interrupts.wait(1, kPatience), 1u);
    EXPECT_EQ(buffer.bytes()[0], std::byte{42});
    buffer.unmap();
}

TEST_F(ConformanceProcess, AChildThatLivesOnDoesNotKeepTheDeviceOpen) {
    std::array<int, 2> channel{};
    ASSERT_EQ(::pipe2(channel.data(), O_CLOEXEC), 0);
    const pid_t child = ::fork();
    ASSERT_GE(child, 0);
    if (child == 0) {
        ::close(channel[1]);
        char none = 0;
        ::_exit(::read(channel[0], &none, 1) == 0 ? 0 : 1);  // until the parent closes its end
    }
    ::close(channel[0]);
    device.close();
    EXPECT_EQ(errc_of([&] { device = open_device(); }), std::nullopt);
    ::close(channel[1]);
    int status = -1;
    EXPECT_EQ(::waitpid(child, &status, 0), child);
    EXPECT_EQ(status, 0);
}

}  // namespace uiovfio::conformance
