// SPDX-License-Identifier: MIT
// Files of a PCI function in sysfs: whatever they hold, the description keeps to what a PCI function can be. Each line
// of the input, up to a zero byte, is the text of one file, in the order of kFiles.
#include <algorithm>
#include <array>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "fake_tree.hpp"

namespace {

constexpr std::array<const char*, 9> kFiles{"resource",  "vendor",          "device",
                                            "class",     "revision",        "subsystem_vendor",
                                            "numa_node", "driver_override", "subsystem_device"};

void check(bool holds) {
    if (!holds) std::abort();
}

class Subject {
  public:
    Subject() {
        tree_.add_function(kAddress);
        tree_.add_function("0000:02:00.0");
        tree_.set_group(kAddress, 7);
    }

    void put(const char* name, const std::string& text) const {
        uiovfio::test::FakeTree::put(tree_.device(kAddress) / name, text);
    }
    /// A link's target is a file's text, too.
    void link(const std::string& text) const {
        std::error_code none;
        const auto driver = tree_.device(kAddress) / "driver";
        std::filesystem::remove(driver, none);
        std::filesystem::create_symlink(text, driver, none);
    }
    [[nodiscard]] uiovfio::PciFunction describe() const {
        return uiovfio::describe(uiovfio::Bdf::parse(kAddress), tree_.root);
    }
    [[nodiscard]] const uiovfio::SysfsRoot& root() const { return tree_.root; }

  private:
    static constexpr const char* kAddress = "0000:01:00.0";
    uiovfio::test::FakeTree tree_;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    static const Subject subject;
    std::string_view text{reinterpret_cast<const char*>(data), size};
    const auto take = [&] {
        const std::string_view part = text.substr(0, text.find('\0'));
        text.remove_prefix(std::min(part.size() + 1, text.size()));
        return std::string{part};
    };
    for (const char* file : kFiles) subject.put(file, take());
    subject.link(take());

    const uiovfio::PciFunction function = subject.describe();
    check(function.class_code <= 0xffffff);
    unsigned next = 0;
    for (const uiovfio::PciResource& resource : function.resources) {
        check(resource.index >= next && resource.index < 6);
        check(resource.size != 0 && resource.size - 1 <= ~std::uint64_t{0} - resource.address);
        next = resource.index + 1;
    }
    check(!function.numa_node || *function.numa_node >= 0);
    check(function.driver.find('/') == std::string::npos);
    std::error_code ec;
    check(uiovfio::enumerate(subject.root(), ec).size() == 2 && !ec);
    return 0;
}
