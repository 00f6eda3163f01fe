"""Does the review praise or complain? Chinese by character; a corpus of words in spaces would be read by words. What is chosen is said."""

import convrnn as cr

PRAISE = ["房间很干净，服务热情", "早餐丰富，位置方便", "老板热情，床很舒服", "安静又舒服，值得再来", "服务周到，很满意"]
COMPLAINT = ["房间又脏又吵，很失望", "态度差，再也不来了", "早餐冷，服务差", "设备旧，床又硬又脏", "位置偏，又吵又贵"]

texts = (PRAISE + COMPLAINT) * 8
labels = (["好评"] * len(PRAISE) + ["差评"] * len(COMPLAINT)) * 8
run = cr.train(texts, labels, model="text-cnn", epochs=10, valid=0, test=0, say=print)

for text in ("床很干净，服务周到", "服务差，房间脏", "早餐丰富"):
    answer = run.model.predict([text])[0]
    print(text, answer["label"], f"{answer['probability']:.2f}")
