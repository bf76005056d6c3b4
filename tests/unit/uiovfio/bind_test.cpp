// SPDX-License-Identifier: MIT
#include "uiovfio/bind.hpp"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <fstream>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "bind_lock.hpp"
#include "bind_record.hpp"
#include "error_text.hpp"
#include "fake_tree.hpp"
#include "in_child.hpp"
#include "sysfs_files.hpp"

namespace uiovfio {

namespace fs = std::filesystem;
using test::error_text;
using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;

namespace {

constexpr const char* kDevice = "0000:01:00.0";
constexpr const char* kOther = "0000:01:00.1";
const Bdf kBdf{0, 1, 0, 0};
const Bdf kOtherBdf{0, 1, 0, 1};
const BindOptions kForce{.force = true};
const BindOptions kImpatient{.busy_timeout = std::chrono::milliseconds{0}};

}  // namespace

/// Acts on what is written as the kernel would.
class Binding : public testing::Test {
  protected:
    Binding() {
        tree.add_function(kDevice);
        tree.add_driver("vfio-pci");
        tree.add_driver("pci-stub");
        tree.set_driver(kDevice, "e1000e");
        detail::replace_write_text([this](const fs::path& file, std::string_view text) { return act(file, text); });
    }
    ~Binding() override {
        detail::replace_write_text(nullptr);
        detail::replace_try_open(nullptr);
    }

    int act(const fs::path& file, std::string_view text) {
        const std::string name = file.filename();
        log.push_back(name + "=" + std::string{text.substr(0, text.find('\n'))});
        if (const auto failure = failures.find(name); failure != failures.end()) {
            if (failure->second.second-- > 0) return failure->second.first;
        }
        const std::string bdf = name == "driver_override" ? file.parent_path().filename().string() : std::string{text};
        if (name == "driver_override") {
            test::FakeTree::put(file, text == "\n" ? "(null)\n" : std::string{text});
        } else if (name == "unbind") {
            tree.set_driver(bdf, "");
        } else if (name == "bind") {
            const std::string driver = file.parent_path().filename();
            if (driver == refuses || bdf + " " + driver == refuses) return refusal;
            tree.set_driver(bdf, driver);
            if (on_bind) on_bind();
        } else if (name == "drivers_probe") {
            tree.set_driver(bdf, "e1000e");
        }
        return 0;
    }

    /// The second function of the card, with a driver of its own, in the same IOMMU group.
    void add_other() {
        tree.add_function(kOther, "0x1af4", "0x10f3", "0x040300");
        tree.set_driver(kOther, "snd_hda_intel");
        tree.set_group(kDevice, 7);
        const fs::path group = tree.root.sys / "kernel/iommu_groups/7";
        fs::create_directory_symlink(tree.device(kOther), group / "devices" / kOther);
        fs::create_directory_symlink(group, tree.device(kOther) / "iommu_group");
    }

    std::string driver(const Bdf& bdf = kBdf) { return describe(bdf, tree.root).driver; }
    std::string driver_override(const Bdf& bdf = kBdf) { return describe(bdf, tree.root).driver_override; }
    fs::path record_file() { return tree.root.run / kDevice; }

    test::FakeTree tree;
    std::vector<std::string> log;
    std::map<std::string, std::pair<int, int>> failures;  // file -> errno, how often
    int refusal = ENODEV;
    std::string refuses;            // a driver, or a function and a driver
    std::function<void()> on_bind;  // what else the kernel does then
};

TEST_F(Binding, GoesThroughTheOverrideAndRemembers) {
    EXPECT_EQ(uiovfio::bind(kBdf, "vfio-pci", tree.root), "e1000e");
    EXPECT_THAT(log, ElementsAre("driver_override=vfio-pci", "unbind=0000:01:00.0", "bind=0000:01:00.0"));
    EXPECT_EQ(driver(), "vfio-pci");
    EXPECT_EQ(recorded_driver(kBdf, tree.root), "e1000e");
}

TEST_F(Binding, IsUndoneByRestore) {
    uiovfio::bind(kBdf, "vfio-pci", tree.root);
    EXPECT_EQ(uiovfio::restore(kBdf, tree.root), "e1000e");
    EXPECT_EQ(driver(), "e1000e");
    EXPECT_EQ(driver_override(), "");
    EXPECT_EQ(recorded_driver(kBdf, tree.root), std::nullopt);
}

TEST_F(Binding, RemembersTheFirstDriverOverSeveralBinds) {
    uiovfio::bind(kBdf, "vfio-pci", tree.root);
    EXPECT_EQ(uiovfio::bind(kBdf, "pci-stub", tree.root), "vfio-pci");
    EXPECT_EQ(uiovfio::restore(kBdf, tree.root), "e1000e");
}

TEST_F(Binding, RemembersTheFirstDriverOverAnUnbind) {
    uiovfio::bind(kBdf, "vfio-pci", tree.root);
    uiovfio::unbind(kBdf, tree.root);
    EXPECT_EQ(uiovfio::bind(kBdf, "pci-stub", tree.root), "");
    EXPECT_EQ(uiovfio::restore(kBdf, tree.root), "e1000e");
}

TEST_F(Binding, RemembersADriverToWhichSomebodyElseBoundTheDevice) {
    uiovfio::bind(kBdf, "vfio-pci", tree.root);
    uiovfio::unbind(kBdf, tree.root);
    tree.set_driver(kDevice, "igb_uio");
    test::FakeTree::put(tree.device(kDevice) / "driver_override", "igb_uio\n");
    EXPECT_EQ(uiovfio::bind(kBdf, "vfio-pci", tree.root), "igb_uio");
    EXPECT_EQ(recorded_driver(kBdf, tree.root), "igb_uio");
    EXPECT_EQ(uiovfio::restore(kBdf, tree.root), "igb_uio");
    EXPECT_EQ(driver_override(), "igb_uio");
}

TEST_F(Binding, KeepsTheRecordWhenALaterBindFails) {
    uiovfio::bind(kBdf, "vfio-pci", tree.root);
    tree.set_driver(kDevice, "igb_uio");
    refuses = "pci-stub";
    error_text(Errc::bind_failed, [&] { uiovfio::bind(kBdf, "pci-stub", tree.root); });
    EXPECT_EQ(driver(), "igb_uio");
    EXPECT_EQ(recorded_driver(kBdf, tree.root), "e1000e");
}

// As vfio-pci, which takes no device of its own accord.
TEST_F(Binding, RestoresTheOverrideByWhichTheDriverCame) {
    test::FakeTree::put(tree.device(kDevice) / "driver_override", "e1000e\n");
    uiovfio::bind(kBdf, "vfio-pci", tree.root);
    EXPECT_EQ(recorded_driver(kBdf, tree.root), "e1000e");
    uiovfio::restore(kBdf, tree.root);
    EXPECT_EQ(driver_override(), "e1000e");
}

TEST_F(Binding, RestoresADeviceThatHadNoDriver) {
    tree.set_driver(kDevice, "");
    EXPECT_EQ(uiovfio::bind(kBdf, "vfio-pci", tree.root), "");
    EXPECT_EQ(recorded_driver(kBdf, tree.root), "");
    EXPECT_EQ(uiovfio::restore(kBdf, tree.root), "");
    EXPECT_EQ(driver(), "");
}

TEST_F(Binding, LetsTheKernelChooseWithoutARecord) {
    tree.set_driver(kDevice, "vfio-pci");
    EXPECT_EQ(uiovfio::restore(kBdf, tree.root), "e1000e");
    EXPECT_THAT(log, ElementsAre("unbind=0000:01:00.0", "driver_override=", "drivers_probe=0000:01:00.0"));
}

TEST_F(Binding, DoesNothingWhenTheDriverIsThere) {
    EXPECT_EQ(uiovfio::bind(kBdf, "e1000e", tree.root), "e1000e");
    EXPECT_TRUE(log.empty());
    EXPECT_EQ(recorded_driver(kBdf, tree.root), std::nullopt);
}

TEST_F(Binding, RollsBackWhenTheDriverRefuses) {
    refuses = "vfio-pci";
    EXPECT_THAT(error_text(Errc::bind_failed, [&] { uiovfio::bind(kBdf, "vfio-pci", tree.root); }),
                HasSubstr("the driver vfio-pci did not take the device"));
    EXPECT_EQ(driver(), "e1000e");
    EXPECT_EQ(driver_override(), "");
    EXPECT_EQ(recorded_driver(kBdf, tree.root), std::nullopt);
}

// Its probe ends in EINVAL then, and says nothing.
TEST_F(Binding, SaysThatVfioWantsAnIommu) {
    refuses = "vfio-pci";
    refusal = EINVAL;
    EXPECT_THAT(error_text(Errc::bind_failed, [&] { uiovfio::bind(kBdf, "vfio-pci", tree.root); }),
                AllOf(HasSubstr("takes no device without an IOMMU"), HasSubstr("intel_iommu=on")));
    tree.set_group(kDevice, 7);
    EXPECT_THAT(error_text(Errc::bind_failed, [&] { uiovfio::bind(kBdf, "vfio-pci", tree.root); }),
                HasSubstr("did not take the device"));
}

TEST_F(Binding, RollsBackWhenItMayNot) {
    failures["unbind"] = {EACCES, 1};
    error_text(Errc::permission_denied, [&] { uiovfio::bind(kBdf, "vfio-pci", tree.root); });
    EXPECT_EQ(driver(), "e1000e");
    EXPECT_EQ(driver_override(), "");
}

TEST_F(Binding, TriesAnUnbindAgainThatIsRefusedForAMoment) {
    failures["unbind"] = {EINVAL, 2};
    EXPECT_EQ(uiovfio::bind(kBdf, "vfio-pci", tree.root), "e1000e");
    EXPECT_EQ(driver(), "vfio-pci");
}

TEST_F(Binding, KnowsItsDriversAndDevices) {
    EXPECT_THAT(error_text(Errc::no_such_driver, [&] { uiovfio::bind(kBdf, "nonsense", tree.root); }),
                HasSubstr("modprobe nonsense"));
    error_text(Errc::no_such_device, [&] { uiovfio::bind(Bdf{0, 9, 0, 0}, "vfio-pci", tree.root); });
    error_text(Errc::no_such_device, [&] { uiovfio::unbind(Bdf{0, 9, 0, 0}, tree.root); });
    std::error_code ec;
    EXPECT_EQ(uiovfio::restore(Bdf{0, 9, 0, 0}, tree.root, ec), "");
    EXPECT_EQ(ec, Errc::no_such_device);
}

TEST_F(Binding, UnbindLeavesNeitherDriverNorOverride) {
    uiovfio::bind(kBdf, "vfio-pci", tree.root);
    EXPECT_EQ(uiovfio::unbind(kBdf, tree.root), "vfio-pci");
    EXPECT_EQ(driver(), "");
    EXPECT_EQ(driver_override(), "");
    EXPECT_EQ(uiovfio::unbind(kBdf, tree.root), "");
}

TEST_F(Binding, LastsAsLongAsItsScope) {
    {
        ScopedBinding binding{kBdf, "vfio-pci", tree.root};
        EXPECT_EQ(driver(), "vfio-pci");
        EXPECT_EQ(binding.previous_driver(), "e1000e");
        const ScopedBinding moved = std::move(binding);
        EXPECT_EQ(driver(), "vfio-pci");
    }
    EXPECT_EQ(driver(), "e1000e");
    {
        ScopedBinding binding{kBdf, "vfio-pci", tree.root};
        binding.release();
    }
    EXPECT_EQ(driver(), "vfio-pci");
}

// --- in use ---

TEST_F(Binding, LeavesTheDefaultRouteAlone) {
    tree.add_interface(kDevice, "eth0");
    tree.set_default_route({"eth0"});
    EXPECT_THAT(error_text(Errc::device_in_use, [&] { uiovfio::bind(kBdf, "vfio-pci", tree.root); }),
                AllOf(HasSubstr("0000:01:00.0: eth0 carries the machine's default route"), HasSubstr("--force")));
    EXPECT_THAT(log, IsEmpty());
    EXPECT_EQ(recorded_driver(kBdf, tree.root), std::nullopt);
    EXPECT_EQ(uiovfio::bind(kBdf, "e1000e", tree.root), "e1000e") << "nothing is taken away";
    EXPECT_EQ(uiovfio::bind(kBdf, "vfio-pci", tree.root, kForce), "e1000e");
    EXPECT_EQ(driver(), "vfio-pci");
}

TEST_F(Binding, LeavesAMountedDiskAlone) {
    tree.add_block(tree.device(kDevice) / "block/sda", "8:0");
    tree.set_mounts("30 1 8:0 / /data rw - ext4 /dev/sda rw\n");
    EXPECT_THAT(error_text(Errc::device_in_use, [&] { uiovfio::bind(kBdf, "vfio-pci", tree.root); }),
                AllOf(HasSubstr("sda holds the file system that is mounted on /data"), HasSubstr("`umount /data`")));
    std::error_code ec;
    EXPECT_EQ(uiovfio::bind(kBdf, "vfio-pci", tree.root, ec), "");
    EXPECT_EQ(ec, Errc::device_in_use);
    EXPECT_EQ(uiovfio::bind(kBdf, "vfio-pci", tree.root, kForce, ec), "e1000e");
    EXPECT_FALSE(ec);
}

TEST_F(Binding, UnbindAndRestoreLeaveItAloneToo) {
    tree.add_interface(kDevice, "eth0");
    tree.set_default_route({"eth0"});
    error_text(Errc::device_in_use, [&] { uiovfio::unbind(kBdf, tree.root); });
    error_text(Errc::device_in_use, [&] { uiovfio::restore(kBdf, tree.root); });
    EXPECT_THAT(log, IsEmpty());
    std::error_code ec;
    EXPECT_EQ(uiovfio::unbind(kBdf, tree.root, ec), "");
    EXPECT_EQ(ec, Errc::device_in_use);
    uiovfio::restore(kBdf, tree.root, ec);
    EXPECT_EQ(ec, Errc::device_in_use);
    EXPECT_EQ(uiovfio::restore(kBdf, tree.root, kForce), "e1000e");
    EXPECT_EQ(uiovfio::unbind(kBdf, tree.root, kForce, ec), "e1000e");
    EXPECT_EQ(driver(), "");
}

TEST_F(Binding, TellsOfAFewUsesOnly) {
    for (int i = 0; i < 5; ++i)
        tree.add_block(tree.device(kDevice) / ("block/sd" + std::string(1, static_cast<char>('a' + i))),
                       "8:" + std::to_string(i));
    tree.set_mounts(
        "30 1 8:0 / /a rw - ext4 /dev/sda rw\n31 1 8:1 / /b rw - ext4 /dev/sdb rw\n"
        "32 1 8:2 / /c rw - ext4 /dev/sdc rw\n33 1 8:3 / /d rw - ext4 /dev/sdd rw\n"
        "34 1 8:4 / /e rw - ext4 /dev/sde rw\n");
    EXPECT_THAT(error_text(Errc::device_in_use, [&] { uiovfio::bind(kBdf, "vfio-pci", tree.root); }),
                AllOf(HasSubstr("on /c, and 2 more: `umount /a`"), Not(HasSubstr("/d"))));
}

TEST_F(Binding, DoesNotUnbindWhatAProcessHasOpen) {
    tree.set_driver(kDevice, "vfio-pci");
    tree.set_group(kDevice, 7);
    tree.add_vfio_nodes(7);
    tree.add_process(4711, "my-driver", {tree.root.dev / "vfio/7"});
    detail::replace_try_open([&](const fs::path& node) { return node == tree.root.dev / "vfio/7" ? EBUSY : ENOENT; });
    EXPECT_THAT(error_text(Errc::device_busy, [&] { uiovfio::unbind(kBdf, tree.root, kImpatient); }),
                HasSubstr("still open through VFIO: by process 4711 (my-driver)"));
    error_text(Errc::device_busy, [&] { uiovfio::restore(kBdf, tree.root, kImpatient); });
    EXPECT_THAT(log, Not(testing::Contains(testing::StartsWith("unbind"))));
    EXPECT_EQ(driver(), "vfio-pci");
    int looks = 0;  // until the process ends
    detail::replace_try_open([&](const fs::path&) { return ++looks < 3 ? EBUSY : 0; });
    EXPECT_EQ(uiovfio::unbind(kBdf, tree.root, {.busy_timeout = std::chrono::seconds{60}}), "vfio-pci");
    EXPECT_EQ(driver(), "");
}

// --- records ---

TEST_F(Binding, IgnoresARecordThatWasCutShort) {
    uiovfio::bind(kBdf, "vfio-pci", tree.root);
    std::string whole = detail::read_text(record_file()).value() + "\n";
    ASSERT_TRUE(detail::parse_record(whole));
    for (std::size_t length = 0; length < whole.size(); ++length) {
        EXPECT_FALSE(detail::parse_record(whole.substr(0, length))) << length;
    }
    test::FakeTree::put(record_file(), whole.substr(0, whole.size() / 2));
    EXPECT_EQ(recorded_driver(kBdf, tree.root), std::nullopt);
    EXPECT_THAT(recorded_functions(tree.root), IsEmpty());
    EXPECT_EQ(uiovfio::restore(kBdf, tree.root), "e1000e") << "as the kernel chooses";
    EXPECT_FALSE(fs::exists(record_file()));
}

TEST_F(Binding, IgnoresARecordThatNamesOtherPlaces) {
    const auto with = [](const std::string& previous, const std::string& driver_override) {
        return detail::to_text({"1af4:10f2", previous, driver_override, "vfio-pci"});
    };
    EXPECT_TRUE(detail::parse_record(with("e1000e", "")));
    EXPECT_TRUE(detail::parse_record(with("HDA Intel", "e1000e")));
    EXPECT_FALSE(detail::parse_record(with("../../../etc", "")));
    EXPECT_FALSE(detail::parse_record(with("..", "")));
    EXPECT_FALSE(detail::parse_record(with("e1000e", "a/b")));
    EXPECT_FALSE(detail::parse_record(with("e1000e\nbound x", "")));
    EXPECT_FALSE(detail::parse_record(with(std::string(300, 'x'), "")));
    EXPECT_FALSE(detail::parse_record(with("\x1b[2J", "")));
    EXPECT_FALSE(detail::parse_record("e1000e\n\nvfio-pci\n"));
}

TEST_F(Binding, IgnoresARecordThatIsNoFileOfItsOwn) {
    tree.set_driver(kDevice, "vfio-pci");
    fs::create_directories(tree.root.run);
    test::FakeTree::put(tree.root.run / "elsewhere", detail::to_text({"1af4:10f2", "e1000e", "", "vfio-pci"}));
    fs::create_symlink(tree.root.run / "elsewhere", record_file());
    EXPECT_EQ(recorded_driver(kBdf, tree.root), std::nullopt);
    fs::remove(record_file());
    ASSERT_EQ(::mkfifo(record_file().c_str(), 0600), 0);
    EXPECT_EQ(recorded_driver(kBdf, tree.root), std::nullopt) << "and does not wait for a writer";
}

TEST_F(Binding, IgnoresTheRecordOfAnotherDeviceInTheSlot) {
    uiovfio::bind(kBdf, "vfio-pci", tree.root);
    test::FakeTree::put(tree.device(kDevice) / "device", "0xabcd\n");
    EXPECT_EQ(uiovfio::restore(kBdf, tree.root), "e1000e");
    EXPECT_THAT(log, testing::Contains("drivers_probe=0000:01:00.0"));
}

// A device that was put into a slot later was never bound by us: it keeps its driver.
TEST_F(Binding, LeavesTheNextDeviceInTheSlotAlone) {
    uiovfio::bind(kBdf, "vfio-pci", tree.root);
    test::FakeTree::put(tree.device(kDevice) / "device", "0xabcd\n");
    test::FakeTree::put(tree.device(kDevice) / "driver_override", "(null)\n");
    EXPECT_EQ(recorded_driver(kBdf, tree.root), std::nullopt);
    EXPECT_THAT(recorded_functions(tree.root), IsEmpty());
    log.clear();
    EXPECT_EQ(uiovfio::restore(kBdf, tree.root), "vfio-pci");
    EXPECT_THAT(log, IsEmpty());
    EXPECT_FALSE(fs::exists(record_file()));
}

TEST_F(Binding, ForgetsADeviceThatIsGone) {
    uiovfio::bind(kBdf, "vfio-pci", tree.root);
    EXPECT_THAT(recorded_functions(tree.root), ElementsAre(kBdf));
    fs::remove_all(tree.device(kDevice));
    error_text(Errc::no_such_device, [&] { uiovfio::restore(kBdf, tree.root); });
    EXPECT_THAT(recorded_functions(tree.root), IsEmpty());
}

TEST_F(Binding, ReplacesARecordInOneStep) {
    uiovfio::bind(kBdf, "vfio-pci", tree.root);
    std::ifstream earlier{record_file()};  // whoever reads now keeps the old one, whole
    uiovfio::bind(kBdf, "pci-stub", tree.root);
    const std::string text{std::istreambuf_iterator<char>{earlier}, {}};
    EXPECT_EQ(detail::parse_record(text), (detail::Record{"1af4:10f2", "e1000e", "", "vfio-pci"}));
    EXPECT_EQ(detail::read_record(record_file()), (detail::Record{"1af4:10f2", "e1000e", "", "pci-stub"}));
}

TEST_F(Binding, RefusesWhatIsNoDriversName) {
    for (const char* name : {"", ".", "..", "../drivers/vfio-pci", "a\nb"})
        EXPECT_THAT(error_text(Errc::no_such_driver, [&] { uiovfio::bind(kBdf, name, tree.root); }),
                    Not(HasSubstr("modprobe")));
    EXPECT_THAT(log, IsEmpty());
}

TEST_F(Binding, NeedsTheDriverThatItShallRestore) {
    uiovfio::bind(kBdf, "vfio-pci", tree.root);
    fs::remove_all(tree.root.sys / "bus/pci/drivers/e1000e");  // rmmod
    EXPECT_THAT(error_text(Errc::no_such_driver, [&] { uiovfio::restore(kBdf, tree.root); }),
                HasSubstr("modprobe e1000e"));
    EXPECT_EQ(driver(), "vfio-pci");
    EXPECT_EQ(recorded_driver(kBdf, tree.root), "e1000e");
}

// --- the nodes of VFIO ---

TEST_F(Binding, WaitsForTheNodesThatTheKernelMakes) {
    tree.set_group(kDevice, 7);
    std::thread maker;
    on_bind = [&] {
        test::FakeTree::put(tree.device(kDevice) / "vfio-dev/vfio3/dev", "511:3\n");
        fs::create_directories(tree.root.sys / "class/vfio/7");
        maker = std::thread{[&] {
            std::this_thread::sleep_for(std::chrono::milliseconds{20});
            tree.add_vfio_nodes(7);
            test::FakeTree::put(tree.root.dev / "vfio/devices/vfio3", "");
        }};
    };
    uiovfio::bind(kBdf, "vfio-pci", tree.root);
    EXPECT_TRUE(fs::exists(tree.root.dev / "vfio/7"));
    EXPECT_TRUE(fs::exists(tree.root.dev / "vfio/devices/vfio3"));
    maker.join();
}

// --- several functions ---

TEST_F(Binding, TakesAWholeGroupButItsBridges) {
    add_other();
    for (const auto& [bdf, class_code] :
         std::map<std::string, std::string>{{"0000:00:1c.0", "0x060400"}, {"0000:00:1f.0", "0x060100"}}) {
        tree.add_function(bdf, "0x8086", "0x1234", class_code);
        fs::create_directory_symlink(tree.device(bdf), tree.root.sys / "kernel/iommu_groups/7/devices" / bdf);
    }
    EXPECT_THAT(bindable_group(kBdf, tree.root), ElementsAre(kBdf, kOtherBdf));
    EXPECT_THAT(bindable_group(kOtherBdf, tree.root), ElementsAre(kOtherBdf, kBdf)) << "itself first";
    EXPECT_THAT(bind_all(bindable_group(kOtherBdf, tree.root), "vfio-pci", tree.root),
                ElementsAre("snd_hda_intel", "e1000e"));
    EXPECT_EQ(driver(kBdf), "vfio-pci");
    EXPECT_EQ(driver(kOtherBdf), "vfio-pci");
    EXPECT_THAT(recorded_functions(tree.root), ElementsAre(kBdf, kOtherBdf));
    error_text(Errc::no_such_device, [&] { bindable_group(Bdf{0, 9, 0, 0}, tree.root); });
    std::error_code ec;
    EXPECT_THAT(bindable_group(Bdf{0, 9, 0, 0}, tree.root, ec), IsEmpty());
    EXPECT_EQ(ec, Errc::no_such_device);
}

// As function 0 of a chipset has it: class 0601, and an ordinary header.
TEST_F(Binding, TakesABridgeOfTheMachineThatKeepsTheGroupFromUserspace) {
    const std::string isa = "0000:01:00.4";
    add_other();
    tree.add_function(isa, "0x8086", "0x1234", "0x060100");
    tree.set_driver(isa, "lpc_ich");
    tree.join_group(isa, 7);
    tree.add_vfio_nodes(7);
    const Bdf isa_bdf{0, 1, 0, 4};
    EXPECT_THAT(bindable_group(kBdf, tree.root), ElementsAre(kBdf, kOtherBdf, isa_bdf));
    bind_all(bindable_group(kBdf, tree.root), "vfio-pci", tree.root);
    EXPECT_EQ(why_not_vfio(kBdf, tree.root), std::nullopt) << "the remedy helped";
    EXPECT_THAT(bindable_group(kBdf, tree.root), ElementsAre(kBdf, kOtherBdf)) << "it is not in the way any more";
}

TEST_F(Binding, RefusesABridgeBeforeItTouchesAnything) {
    tree.set_driver(kDevice, "pcieport");
    std::string config(64, '\0');
    for (const char type : {'\x01', '\x02', '\x81'}) {
        config[0x0e] = type;
        test::FakeTree::put(tree.device(kDevice) / "config", config);
        for (const char* driver : {"vfio-pci", "mlx5_vfio_pci"}) {
            tree.add_driver(driver);
            EXPECT_THAT(error_text(Errc::bind_failed, [&] { uiovfio::bind(kBdf, driver, tree.root); }),
                        AllOf(HasSubstr(std::string{"is a bridge, and "} + driver + " takes none"),
                              HasSubstr("take a device behind it")));
            error_text(Errc::bind_failed, [&] { ScopedBinding{kBdf, driver, tree.root}; });
            error_text(Errc::bind_failed, [&] { bind_all(std::vector{kBdf}, driver, tree.root, kForce); });
            error_text(Errc::bind_failed, [&] { plan_bind(kBdf, driver, tree.root); });
        }
    }
    EXPECT_THAT(log, IsEmpty());
    EXPECT_EQ(driver(), "pcieport");
    uiovfio::bind(kBdf, "pci-stub", tree.root);
    EXPECT_EQ(driver(), "pci-stub") << "which takes bridges";
}

TEST_F(Binding, KnowsBeforehandThatVfioWantsAnIommu) {
    test::FakeTree::put(tree.root.sys / "module/vfio/parameters/enable_unsafe_noiommu_mode", "N\n");
    EXPECT_THAT(error_text(Errc::bind_failed, [&] { uiovfio::bind(kBdf, "vfio-pci", tree.root); }),
                HasSubstr("takes no device without an IOMMU"));
    EXPECT_THAT(log, IsEmpty());
    test::FakeTree::put(tree.root.sys / "module/vfio/parameters/enable_unsafe_noiommu_mode", "Y\n");
    EXPECT_EQ(uiovfio::bind(kBdf, "vfio-pci", tree.root), "e1000e");
}

TEST_F(Binding, NeedsNoRightsWhereTheDriverIsThere) {
    tree.set_driver(kDevice, "vfio-pci");
    test::FakeTree::put(tree.root.run, "no folder can be made here");
    EXPECT_EQ(uiovfio::bind(kBdf, "vfio-pci", tree.root), "vfio-pci");
    {
        ScopedBinding binding{kBdf, "vfio-pci", tree.root};
        EXPECT_EQ(binding.previous_driver(), "vfio-pci");
        binding.restore();
    }
    EXPECT_EQ(driver(), "vfio-pci");
    EXPECT_THAT(log, IsEmpty());
    tree.set_driver(kDevice, "e1000e");
    error_text(Errc::permission_denied, [&] { ScopedBinding{kBdf, "vfio-pci", tree.root}; });
    EXPECT_THAT(log, IsEmpty());
}

TEST_F(Binding, KnowsNamesThatAreNearlyADrivers) {
    for (const char* name : {"vfio_pci", "VFIO-PCI", "vfiopci"})
        EXPECT_THAT(error_text(Errc::no_such_driver, [&] { uiovfio::bind(kBdf, name, tree.root); }),
                    AllOf(HasSubstr("did you mean vfio-pci?"), Not(HasSubstr("modprobe"))));
    EXPECT_THAT(error_text(Errc::no_such_driver, [&] { uiovfio::bind(kBdf, "E1000E", tree.root); }),
                HasSubstr("did you mean e1000e?"));
    EXPECT_THAT(error_text(Errc::no_such_driver, [&] { uiovfio::bind(kBdf, "uio-pci-generic", tree.root); }),
                HasSubstr("did you mean uio_pci_generic? load it with `modprobe uio_pci_generic`"));
    EXPECT_THAT(log, IsEmpty());
    // A module that is loaded needs no modprobe: its driver has another name, or it has none.
    test::FakeTree::put(tree.root.sys / "module/xhci_pci/drivers/pci:xhci_hcd", "");
    test::FakeTree::put(tree.root.sys / "module/vfio/parameters/x", "");
    EXPECT_THAT(error_text(Errc::no_such_driver, [&] { uiovfio::bind(kBdf, "xhci_pci", tree.root); }),
                AllOf(HasSubstr("its driver is xhci_hcd"), Not(HasSubstr("modprobe"))));
    EXPECT_THAT(error_text(Errc::no_such_driver, [&] { uiovfio::bind(kBdf, "vfio", tree.root); }),
                AllOf(HasSubstr("has no PCI driver"), Not(HasSubstr("modprobe"))));
    EXPECT_THAT(error_text(Errc::no_such_driver, [&] { uiovfio::bind(kBdf, "vfio pci", tree.root); }),
                HasSubstr("`modprobe 'vfio pci'`"));
}

TEST_F(Binding, LeavesADiskThatIsHeldAlone) {
    tree.add_block(tree.device(kDevice) / "block/sda", "8:0");
    tree.add_virtual_block("md127", "9:127", {"sda"});
    fs::create_directories(tree.device(kDevice) / "block/sda/holders/md127");
    const auto refused = [&] {
        return error_text(Errc::device_in_use, [&] { uiovfio::bind(kBdf, "vfio-pci", tree.root); });
    };
    EXPECT_THAT(refused(), AllOf(HasSubstr("sda is part of md127"),
                                 HasSubstr("`echo clear > /sys/block/md127/md/array_state` first")));
    fs::remove_all(tree.device(kDevice) / "block/sda/holders");
    fs::create_directories(tree.device(kDevice) / "block/sda/holders/dm-3");
    test::FakeTree::put(tree.root.sys / "class/block/dm-3/dm/name", "vg-home\n");
    EXPECT_THAT(refused(), HasSubstr("`dmsetup remove vg-home` first"));
    fs::remove_all(tree.device(kDevice) / "block/sda/holders");
    tree.set_mounts("30 1 8:0 / /srv/my\\040disk rw - ext4 /dev/sda rw\n");
    EXPECT_THAT(refused(), HasSubstr("`umount '/srv/my disk'` first")) << "as a shell takes it";
    tree.set_mounts("");
    EXPECT_THAT(refused(), AllOf(HasSubstr("sda may be in use"), HasSubstr("outside of a container")))
        << "the file that the tree has for a node is none";
    EXPECT_EQ(uiovfio::bind(kBdf, "vfio-pci", tree.root, {.force = true}), "e1000e");
}

TEST_F(Binding, UndoesAllWhenOneFails) {
    add_other();
    refuses = std::string{kOther} + " vfio-pci";
    const std::vector<Bdf> both{kBdf, kOtherBdf};
    EXPECT_THAT(error_text(Errc::bind_failed, [&] { bind_all(both, "vfio-pci", tree.root); }), HasSubstr(kOther));
    EXPECT_EQ(driver(kBdf), "e1000e");
    EXPECT_EQ(driver(kOtherBdf), "snd_hda_intel");
    EXPECT_EQ(driver_override(kBdf), "");
    EXPECT_EQ(driver_override(kOtherBdf), "");
    EXPECT_THAT(recorded_functions(tree.root), IsEmpty());
    std::error_code ec;
    EXPECT_THAT(bind_all(both, "vfio-pci", tree.root, {}, ec), IsEmpty());
    EXPECT_EQ(ec, Errc::bind_failed);
}

TEST_F(Binding, LooksAtAllBeforeItTouchesTheFirst) {
    add_other();
    tree.add_interface(kOther, "eth0");
    tree.set_default_route({"eth0"});
    error_text(Errc::device_in_use, [&] { bind_all(std::vector{kBdf, kOtherBdf}, "vfio-pci", tree.root); });
    error_text(Errc::no_such_device, [&] { bind_all(std::vector{kBdf, Bdf{0, 9, 0, 0}}, "vfio-pci", tree.root); });
    EXPECT_THAT(log, IsEmpty());
}

TEST_F(Binding, SaysWhatItWouldDo) {
    tree.add_interface(kDevice, "eth0");
    tree.set_default_route({"eth0"});
    const BindPlan plan = plan_bind(kBdf, "vfio-pci", tree.root);
    EXPECT_EQ(plan.bdf, kBdf);
    EXPECT_EQ(plan.now, "e1000e");
    EXPECT_EQ(plan.then, "vfio-pci");
    EXPECT_EQ(plan.back, "e1000e");
    EXPECT_EQ(plan.uses.size(), 1u);
    EXPECT_THAT(log, IsEmpty());
    EXPECT_EQ(plan_bind(kBdf, "e1000e", tree.root).back, std::nullopt) << "that is the kernel's choice";
    EXPECT_THAT(plan_bind(kBdf, "e1000e", tree.root).uses, IsEmpty());
    uiovfio::bind(kBdf, "vfio-pci", tree.root, kForce);
    EXPECT_EQ(plan_bind(kBdf, "vfio-pci", tree.root).back, "e1000e");
    EXPECT_EQ(plan_bind(kBdf, "pci-stub", tree.root).back, "e1000e") << "the first, not the last";
    error_text(Errc::no_such_driver, [&] { plan_bind(kBdf, "nonsense", tree.root); });
    std::error_code ec;
    plan_bind(Bdf{0, 9, 0, 0}, "vfio-pci", tree.root, ec);
    EXPECT_EQ(ec, Errc::no_such_device);
}

// --- for a time ---

TEST_F(Binding, AScopePutsBackWhatItFoundNotWhatWasFirst) {
    uiovfio::bind(kBdf, "pci-stub", tree.root);
    {
        const ScopedBinding binding{kBdf, "vfio-pci", tree.root};
        EXPECT_EQ(binding.previous_driver(), "pci-stub");
        EXPECT_EQ(recorded_driver(kBdf, tree.root), "e1000e") << "for whoever finds it after a crash";
    }
    EXPECT_EQ(driver(), "pci-stub");
    EXPECT_EQ(driver_override(), "pci-stub");
    EXPECT_EQ(uiovfio::restore(kBdf, tree.root), "e1000e");
}

TEST_F(Binding, AScopeLeavesADriverThatWasThere) {
    {
        const ScopedBinding binding{kBdf, "e1000e", tree.root};
    }
    EXPECT_EQ(driver(), "e1000e");
    EXPECT_THAT(log, IsEmpty());
}

TEST_F(Binding, AScopeOfSeveralRestoresAllItCan) {
    add_other();
    ScopedBinding binding{std::vector{kBdf, kOtherBdf}, "vfio-pci", tree.root};
    EXPECT_EQ(driver(kOtherBdf), "vfio-pci");
    refuses = std::string{kOther} + " snd_hda_intel";
    EXPECT_THAT(error_text(Errc::bind_failed, [&] { binding.restore(); }), HasSubstr("snd_hda_intel did not take"));
    EXPECT_EQ(driver(kBdf), "e1000e");
    refuses.clear();
    std::error_code ec;
    binding.restore(ec);
    EXPECT_FALSE(ec);
    EXPECT_EQ(driver(kOtherBdf), "snd_hda_intel");
    EXPECT_THAT(recorded_functions(tree.root), IsEmpty());
    error_text(Errc::invalid_argument, [&] { ScopedBinding{std::span<const Bdf>{}, "vfio-pci", tree.root}; });
}

TEST_F(Binding, AScopeDoesWithoutADeviceThatIsGone) {
    ScopedBinding binding{kBdf, "vfio-pci", tree.root};
    fs::remove_all(tree.device(kDevice));
    EXPECT_NO_THROW(binding.restore());
    EXPECT_THAT(recorded_functions(tree.root), IsEmpty());
}

TEST_F(Binding, AScopeKeepsOthersAway) {
    ScopedBinding binding{kBdf, "vfio-pci", tree.root};
    const std::string self = "process " + std::to_string(::getpid());
    EXPECT_THAT(error_text(Errc::device_in_use, [&] { uiovfio::bind(kBdf, "pci-stub", tree.root); }), HasSubstr(self));
    EXPECT_THAT(error_text(Errc::device_in_use, [&] { uiovfio::restore(kBdf, tree.root, kForce); }), HasSubstr(self));
    EXPECT_THAT(error_text(Errc::device_in_use, [&] { uiovfio::unbind(kBdf, tree.root); }), HasSubstr(self));
    EXPECT_THAT(error_text(Errc::device_in_use, [&] { ScopedBinding{kBdf, "vfio-pci", tree.root}; }), HasSubstr(self));
    EXPECT_EQ(driver(), "vfio-pci");
    binding.release();
    EXPECT_EQ(binding.previous_driver(), "e1000e");
    EXPECT_EQ(uiovfio::restore(kBdf, tree.root), "e1000e");
}

TEST_F(Binding, WhatAKilledProcessHadBoundCanBeRestored) {
    const pid_t child = ::fork();
    ASSERT_GE(child, 0);
    if (child == 0) {
        const ScopedBinding binding{kBdf, "vfio-pci", tree.root};
        ::kill(::getpid(), SIGKILL);
    }
    int status = 0;
    ASSERT_EQ(::waitpid(child, &status, 0), child);
    ASSERT_TRUE(WIFSIGNALED(status));
    EXPECT_EQ(driver(), "vfio-pci");
    EXPECT_THAT(recorded_functions(tree.root), ElementsAre(kBdf));
    EXPECT_EQ(uiovfio::restore(kBdf, tree.root), "e1000e") << "the lock went with the process";
    EXPECT_THAT(recorded_functions(tree.root), IsEmpty());
}

TEST_F(Binding, AScopeIsNoneOfAChilds) {
    ScopedBinding binding{kBdf, "vfio-pci", tree.root};
    log.clear();
    EXPECT_EQ(test::in_child([&]() -> std::string {
                  std::error_code ec;
                  binding.restore(ec);
                  if (ec != Errc::forked) return ec.message();
                  {
                      const ScopedBinding gone = std::move(binding);
                  }  // as where the child leaves the scope
                  return log.empty() ? "" : log.front();
              }),
              "");
    EXPECT_EQ(driver(), "vfio-pci");
    EXPECT_EQ(driver_override(), "vfio-pci");
    EXPECT_THAT(recorded_functions(tree.root), ElementsAre(kBdf));
    error_text(Errc::device_in_use, [&] { uiovfio::restore(kBdf, tree.root); });
    EXPECT_EQ(
        test::in_child([&]() -> std::string { return (uiovfio::restore(kBdf, tree.root), "restored"); }).substr(0, 14),
        "device_in_use:")
        << "nor can the child take it from its parent";
    binding.restore();
    EXPECT_EQ(driver(), "e1000e");
}

TEST_F(Binding, AWorkerDoesNotKeepWhatItsDeadParentHadBound) {
    std::array<int, 2> channel{};
    ASSERT_EQ(::pipe2(channel.data(), O_CLOEXEC), 0);
    const pid_t child = ::fork();
    ASSERT_GE(child, 0);
    if (child == 0) {
        const std::optional<ScopedBinding> binding = [&]() -> std::optional<ScopedBinding> {
            try {
                return ScopedBinding{kBdf, "vfio-pci", tree.root};
            } catch (const Error&) {
                ::_exit(1);
            }
        }();
        if (::fork() == 0) {
            ::close(channel[1]);
            char none = 0;
            ::_exit(::read(channel[0], &none, 1) == 0 ? 0 : 1);  // lives until the test closes its end
        }
        ::kill(::getpid(), SIGKILL);
    }
    ::close(channel[0]);
    int status = 0;
    ASSERT_EQ(::waitpid(child, &status, 0), child);
    ASSERT_TRUE(WIFSIGNALED(status));
    EXPECT_EQ(uiovfio::restore(kBdf, tree.root), "e1000e");
    ::close(channel[1]);
}

TEST_F(Binding, AScopeLeavesWhatSomebodyElseHasBoundMeanwhile) {
    {
        const ScopedBinding binding{kBdf, "vfio-pci", tree.root};
        tree.set_driver(kDevice, "nvme");
        test::FakeTree::put(tree.device(kDevice) / "driver_override", "nvme\n");
        log.clear();
    }
    EXPECT_EQ(driver(), "nvme");
    EXPECT_EQ(driver_override(), "nvme");
    EXPECT_THAT(log, IsEmpty());
    EXPECT_THAT(recorded_functions(tree.root), IsEmpty());
}

TEST_F(Binding, AScopeLeavesWhatTheMachineHasComeToUse) {
    tree.set_driver(kDevice, "");
    ScopedBinding binding{kBdf, "pci-stub", tree.root};
    tree.add_interface(kDevice, "eth0");
    tree.set_default_route({"eth0"});
    EXPECT_THAT(error_text(Errc::device_in_use, [&] { binding.restore(); }), HasSubstr("eth0"));
    EXPECT_EQ(driver(), "pci-stub");
    tree.set_default_route({});
    EXPECT_THAT(error_text(Errc::device_in_use, [&] { binding.restore(); }),
                HasSubstr("eth0 is up: `ip link set eth0 down` first"));
    test::FakeTree::put(tree.device(kDevice) / "net/eth0/operstate", "down\n");
    binding.restore();
    EXPECT_EQ(driver(), "");
}

TEST_F(Binding, NobodyElseMayWriteWhereItKeepsItsRecords) {
    const mode_t before = ::umask(0);
    uiovfio::bind(kBdf, "vfio-pci", tree.root);
    ::umask(before);
    for (const fs::path& path :
         {tree.root.run, tree.root.run / kDevice, tree.root.run / (std::string{kDevice} + ".lock")})
        EXPECT_EQ(fs::status(path).permissions() & (fs::perms::group_write | fs::perms::others_write), fs::perms::none)
            << path;
    EXPECT_EQ(fs::status(tree.root.run / kDevice).permissions(), fs::perms{0644}) << "for all to read";
}

TEST_F(Binding, WaitsForAnotherChange) {
    std::optional<detail::BindLock> other{std::in_place, kBdf, tree.root, detail::BindLock::Span::change};
    std::thread binder{[&] { uiovfio::bind(kBdf, "vfio-pci", tree.root); }};
    std::this_thread::sleep_for(std::chrono::milliseconds{20});
    EXPECT_EQ(driver(), "e1000e");
    other.reset();
    binder.join();
    EXPECT_EQ(driver(), "vfio-pci");
}

TEST_F(Binding, NeedsAPlaceForItsRecords) {
    fs::create_directories(tree.root.run.parent_path());
    test::FakeTree::put(tree.root.run, "a file where a folder should be");
    EXPECT_THAT(error_text(Errc::permission_denied, [&] { uiovfio::bind(kBdf, "vfio-pci", tree.root); }),
                HasSubstr("cannot keep the previous driver's name"));
    EXPECT_EQ(driver(), "e1000e");
}

}  // namespace uiovfio
